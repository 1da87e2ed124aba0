"""Make a data set ready on disk; no torch until a download through torchvision is due."""

import gzip
import hashlib
import http.client
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from roadmap.config.checks import TEST_ONLY, class_folders
from roadmap.data import archives as originals
from roadmap.data import sources
from roadmap.data.resized_copy import finished_copy
from roadmap.errors import ConfigError, DataError, Locked
from roadmap.files import lock, write_atomic

TORCHVISION = {"fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""Data sets held in memory, and their classes in torchvision.datasets."""

FOLDERS = ("imagenet", "imagefolder")
"""Data sets of image files, a folder a class; nothing fetches them, but ImageNet's archives are sorted."""

SHARDED = ("webdataset", "parquet")
"""Data sets of many images a file; what reads them makes them ready."""

FASHION_MNIST = Path("FashionMNIST/raw")
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""The files of Fashion-MNIST, decompressed."""

LOCK_SECONDS = 600.0


def fetch(name: str, root: Path) -> None:
    """Make data set `name` ready under `root`, fetching what is missing or damaged, and say so on stdout.

    Two processes may ask for the same data at once: one fetches, the other waits for it.

    Raises:
        DataError: it could not be had from anywhere; the message lists the remedies.
        ConfigError: there is no such data set.
    """
    root = root.expanduser()
    if name in FOLDERS:
        return _find_folders(name, root)
    if name in [test.value for test in TEST_ONLY]:
        raise ConfigError(f"data={name}: it only tests: scripts/evaluate.py weights=FILE data={name} data.root=...")
    if name not in TORCHVISION:
        raise ConfigError(f"data={name}: allowed is one of {' '.join((*TORCHVISION, *FOLDERS, *SHARDED))}")
    try:
        if not _ready(name, root):
            with lock(root, wait=LOCK_SECONDS):
                if not _ready(name, root):
                    _fetch_fashion_mnist(root) if name == "fashion_mnist" else _fetch_cifar(name, root)
    except (OSError, Locked) as error:
        raise DataError(f"{name}: cannot work in {root}: {error}") from error
    _say(f"{name}: ready in {root}")


def damaged_fashion_mnist(root: Path, part: str = "") -> list[Path]:
    """The files of Fashion-MNIST that are missing or not as published; `part`: train, t10k, or both."""
    files = {root / FASHION_MNIST / name: digest for name, digest in SHA256.items() if name.startswith(part)}
    return [path for path, digest in files.items() if not path.is_file() or _sha256(path) != digest]


def _ready(name: str, root: Path) -> bool:
    if name == "fashion_mnist":
        return not damaged_fashion_mnist(root)
    import torchvision

    try:  # torchvision compares the MD5 of every file
        getattr(torchvision.datasets, TORCHVISION[name])(root, download=False)
    except RuntimeError:
        return False
    return True


def _find_folders(name: str, root: Path) -> None:
    if name == "imagenet":
        try:
            originals.sort(root)
        except (OSError, Locked) as error:
            raise DataError(f"{name}: cannot work in {root}: {error}") from error
    missing = [str(root / part) for part in ("train", "val") if not class_folders(root / part)]
    if missing:
        raise DataError(
            f"{name}: {' and '.join(missing)} must hold a folder of images for every class: "
            "put or link them there, or say where they are with data.root=..."
            + (
                f"; or put {originals.TRAIN}, {originals.VAL} and {originals.DEVKIT} there"
                if name == "imagenet"
                else ""
            )
        )
    finished_copy(root)
    _say(f"{name}: ready in {root}")


def _fetch_fashion_mnist(root: Path) -> None:
    raw = root / FASHION_MNIST
    raw.mkdir(parents=True, exist_ok=True)
    names = [path.name for path in damaged_fashion_mnist(root)]
    attempts: dict[str, Callable[[], Iterator[bytes]]] = {
        f"gzipped files in {raw}": lambda: sources.directory(raw, names),
        "torchvision's mirrors": lambda: sources.mirrors(names),
        f"{sources.DEBIAN_DIRECTORY}": lambda: sources.directory(sources.DEBIAN_DIRECTORY, names),
        f"apt-get download {sources.DEBIAN_PACKAGE}": lambda: sources.debian_package(names),
    }
    failures = []
    for source, attempt in attempts.items():
        try:
            contents = [_unpack(name, packed) for name, packed in zip(names, attempt(), strict=True)]
        except (OSError, EOFError, zlib.error, http.client.HTTPException, DataError) as error:
            failures.append(f"  {source}: {error or type(error).__name__}")
            _say(f"fashion_mnist: not from{failures[-1][1:]}")
            continue
        for name, content in zip(names, contents, strict=True):
            write_atomic(raw / name, content)
        _say(f"fashion_mnist: {len(names)} files from {source}")
        return
    raise DataError(
        "\n".join(
            [
                "Fashion-MNIST could not be fetched:",
                *failures,
                "Any one of these helps; then run `make data` again:",
                f"  put {', '.join(names)} (or the same with .gz) into {raw}",
                "  connect to a network in which torchvision's mirror is reached (http_proxy is heeded)",
                f"  on Debian or Ubuntu, as root: apt-get update && apt-get install {sources.DEBIAN_PACKAGE}",
            ]
        )
    )


def _unpack(name: str, packed: bytes) -> bytes:
    content = gzip.decompress(packed)
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"{name} has the wrong SHA-256")
    return content


def _fetch_cifar(name: str, root: Path) -> None:
    import torchvision

    dataset = getattr(torchvision.datasets, TORCHVISION[name])
    _say(f"{name}: downloading {dataset.url}")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30.0)  # torchvision itself would wait for ever
    try:
        dataset(root, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{name} could not be fetched from {dataset.url} ({error}): "
            f"put {dataset.filename} (MD5 {dataset.tgz_md5}) into {root} and run `make data` again"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _say(message: str) -> None:
    print(message, flush=True)

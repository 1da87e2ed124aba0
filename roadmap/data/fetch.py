"""Make a data set ready on disk. Imports no torch until something is downloaded through torchvision."""

import gzip
import hashlib
import http.client
import os
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from roadmap.cli import counted
from roadmap.config.schema import DataConfig
from roadmap.data import archives, imagenet, records
from roadmap.data.datasets import class_folders, dataset, split_hint
from roadmap.data.resize import finished_copy
from roadmap.errors import ConfigError, DataError, Locked
from roadmap.files import lock, refuse_links, write_atomic

DEBIAN_DIRECTORY = Path("/usr/share/datasets")
CONNECT_SECONDS = 4.0
TRANSFER_SECONDS = 120.0
LOCK_SECONDS = 600.0


def main(words: list[str]) -> int:
    """Make the data of a study ready: fetch it, sort archives into folders, or index shards and tables.

        python scripts/fetch_data.py                   Fashion-MNIST, for the default study
        python scripts/fetch_data.py data=cifar10      another data set
        python scripts/fetch_data.py study=smoke data.root=/elsewhere
        python scripts/fetch_data.py study=imagenet data.root=/tars      sort ImageNet's archives into folders
        python scripts/fetch_data.py data=webdataset data.root=/shards   fetch shards from URLs and index them

    Takes all options of conf/, as train.py does. Exit code: 0 ready, 2 refused or not available.
    """
    from roadmap.config.compose import compose

    prepare(compose(words).data)
    return 0


def prepare(data: DataConfig) -> None:
    """Make the data of a configuration ready, and report it on stdout; a DataError if they are not available."""
    name, entry, root = data.name, dataset(data.name), Path(data.root).expanduser()
    if entry.test_only:
        raise ConfigError(f"data={name}: it only tests: scripts/evaluate.py weights=FILE data={name} data.root=...")
    if not entry.in_memory and not entry.class_folders:
        for part in records.PARTS:  # to list the images is to fetch shards and to write tables out
            found = records.find(data, part)
            if found.errors:
                raise DataError(found.errors[0])
            print(f"{name}: {len(found.labels):,} images for {part}", flush=True)
        return
    try:
        if entry.in_memory:
            fetch(name, root)
        elif name == "imagenet":
            archives.sort(root)
    except (OSError, Locked) as error:
        raise DataError(f"{name}: cannot work in {root}: {error}") from error
    if entry.class_folders:
        if missing := [str(root / part) for part in ("train", "val") if not class_folders(root / part)]:
            names = f"{archives.TRAIN}, {archives.VAL} and {imagenet.DEVKIT}"
            needed = f"{' and '.join(missing)} must hold a folder of images for every class: put or link them there"
            remedy = "or set data.root=..." + (f"; or put {names} there" if name == "imagenet" else "")
            enough = f"; {root / 'val'} is enough for scripts/evaluate.py" if class_folders(root / "val") else ""
            raise DataError(f"{name}: {needed}, {remedy}{enough}{split_hint(root)}")
        for part in records.PARTS if name == "imagenet" else ():
            imagenet.require_wnids(root / part, class_folders(root / part))
        finished_copy(root)
    print(f"{name}: ready in {root}", flush=True)


def fetch(name: str, root: Path) -> None:
    """Fetch what is missing or damaged of a data set held in memory; a second process waits for the first."""
    if _ready(name, root):
        return
    with lock(root, wait=LOCK_SECONDS):
        if not _ready(name, root):
            _fetch_files(name, root) if dataset(name).sha256 else _fetch_by_torchvision(name, root)


def damaged_files(name: str, root: Path, prefix: str = "") -> list[Path]:
    """Files of a data set that are missing or do not have the published checksum; of those whose name has a prefix."""
    known = {root / path: digest for path, digest in dataset(name).sha256.items()}
    files = [path for path in known if path.name.startswith(prefix)]
    return [p for p in files if not p.is_file() or hashlib.sha256(p.read_bytes()).hexdigest() != known[p]]


def _ready(name: str, root: Path) -> bool:
    if dataset(name).sha256:
        return not damaged_files(name, root)
    try:
        torchvision_class(name)(root, download=False)  # compares the MD5 of CIFAR's files
    except RuntimeError:
        return False
    return True


def torchvision_class(name: str) -> Any:
    import torchvision  # takes more than a second

    return getattr(torchvision.datasets, dataset(name).torchvision)


def _fetch_files(name: str, root: Path) -> None:
    """Fetch files of known checksums: gzipped ones on this machine, else from torchvision's mirror, else Debian's."""
    entry, damaged = dataset(name), damaged_files(name, root)
    package, names = entry.debian_package, [path.name for path in damaged]
    raw, installed = damaged[0].parent, DEBIAN_DIRECTORY / package.removeprefix("dataset-")
    sources: dict[str, Callable[[], list[bytes]]] = {
        f"gzipped files in {raw}": lambda: _from_directory(raw, names),
        f"{installed}": lambda: _from_directory(installed, names),
        "torchvision's mirror": lambda: [_get(f"{torchvision_class(name).mirrors[0]}{file}.gz") for file in names],
        f"apt-get download {package}": lambda: _from_debian(package, installed, names),
    }
    raw.mkdir(parents=True, exist_ok=True)
    tried, what, remote = "", f"{name}: {counted(len(names), 'file')}", [*sources][2:]
    for source, read in sources.items():
        if source in remote:
            print(f"{what}: fetching from {source}", flush=True)
        try:
            contents = dict(zip(damaged, map(gzip.decompress, read()), strict=True))
            for path, content in contents.items():
                if hashlib.sha256(content).hexdigest() != entry.sha256[str(path.relative_to(root))]:
                    raise DataError(f"{path.name} has the wrong SHA-256")
        except (OSError, EOFError, zlib.error, http.client.HTTPException, DataError) as error:
            tried += f"  {source}: {error or type(error).__name__}\n"
            continue
        for path, content in contents.items():
            write_atomic(path, content)
        print(f"{what} from {source}", flush=True)
        return
    raise DataError(
        f"{name} could not be fetched:\n{tried}Any one of these helps; then run `make data` again:\n"
        f"  put {', '.join(names)} (or the same with .gz) into {raw}\n"
        "  connect to a network in which torchvision's mirror is reached (http_proxy is heeded)\n"
        f"  on Debian or Ubuntu, as root: apt-get update && apt-get install {package}"
    )


def _from_directory(folder: Path, names: list[str]) -> list[bytes]:
    if missing := [name for name in names if not (folder / f"{name}.gz").is_file()]:
        raise DataError(f"no {missing[0]}.gz there")
    return [(folder / f"{name}.gz").read_bytes() for name in names]


def _get(url: str) -> bytes:
    """Download a URL, or raise OSError or HTTPException in bounded time.

    The time-out of a socket covers neither the look-up of the host's name, which can hang for minutes, nor the whole
    transfer.
    """
    response = _within(CONNECT_SECONDS, "no answer in", lambda: urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
    return _within(TRANSFER_SECONDS, "took longer than", response.read)


def _within(seconds: float, late: str, work: Callable[[], Any]) -> Any:
    """What `work` returns or raises, in a thread that is abandoned with a TimeoutError after some seconds."""
    answer = Future[Any]()

    def carry_out() -> None:
        try:
            answer.set_result(work())
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            answer.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    if not wait([answer], seconds).done:
        raise TimeoutError(f"{late} {seconds:g} s")
    return answer.result()


def _from_debian(package: str, installed: Path, names: list[str]) -> list[bytes]:
    """Download and unpack a Debian package in a temporary folder, with package lists of its own: needs no root."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "lists" / "partial").mkdir(parents=True)
        options = [f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root"]
        options += [f"Acquire::http::Timeout={CONNECT_SECONDS:.0f}", "Acquire::Retries=1"]
        apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
        _run([*apt, "update"], folder)
        _run([*apt, "download", package], folder)
        _run(["dpkg-deb", "-x", *(path.name for path in folder.glob("*.deb")), "unpacked"], folder)
        return _from_directory(folder / "unpacked" / installed.relative_to("/"), names)


def _run(command: list[str], folder: Path) -> None:
    env = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=folder, env=env, timeout=TRANSFER_SECONDS, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise DataError(f"{command[0]}: took longer than {TRANSFER_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataError(f"{command[0]}: {lines[-1]}")


def _fetch_by_torchvision(name: str, root: Path) -> None:
    kind = torchvision_class(name)
    url = getattr(kind, "url", "its mirrors")  # those of MNIST and its relatives
    raw = f"its files into {root / kind.__name__ / 'raw'}"
    put = f"{kind.filename} (MD5 {kind.tgz_md5}) into {root}" if hasattr(kind, "filename") else raw
    print(f"{name}: downloading {url}", flush=True)
    for place in (kind.__name__, getattr(kind, "filename", None), getattr(kind, "base_folder", None)):
        refuse_links(root / (place or kind.__name__))
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30.0)  # torchvision sets no time-out
    try:
        kind(root, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(f"{name} could not be fetched from {url} ({error}): put {put}, then `make data`") from error
    finally:
        socket.setdefaulttimeout(before)

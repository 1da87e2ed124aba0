"""Sources of data: their order, verification, time limits, and the message if all fail."""

import contextlib
import gzip
import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.downloads import APT_GET, DPKG_DEB, Handler, Mirror, closed_port, programs, small_cifar
from helpers.smoke import inside
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

from roadmap.config.schema import DataConfig
from roadmap.data import fetch as fetching
from roadmap.data.datasets import DATASETS, FASHION_MNIST
from roadmap.data.fetch import damaged_files, fetch, prepare
from roadmap.data.in_memory import load
from roadmap.errors import DataError
from roadmap.files import lock

CONTENTS = {Path(path).name: f"content of {path}".encode() for path in FASHION_MNIST}
NAMES = list(CONTENTS)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with Mirror({f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}) as mirror:
        monkeypatch.setattr(FashionMNIST, "mirrors", [mirror.url])
        yield mirror


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four small files stand for Fashion-MNIST, and no source has them."""
    digests = {f"FashionMNIST/raw/{name}": hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setitem(DATASETS, "fashion_mnist", replace(DATASETS["fashion_mnist"], sha256=digests))
    monkeypatch.setattr(FashionMNIST, "mirrors", [closed_port()])
    monkeypatch.setattr(fetching, "DEBIAN_DIRECTORY", tmp_path / "share")
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def debian(nowhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """apt-get and dpkg-deb that deliver the files of the package; the log of apt-get."""
    fill(tmp_path / "packed", gz=True)
    target = fetching.DEBIAN_DIRECTORY / "fashion-mnist"
    dpkg_deb = DPKG_DEB.format(target=target, packed=tmp_path / "packed")
    programs(monkeypatch, tmp_path, apt_get=APT_GET.format(log=tmp_path / "log"), dpkg_deb=dpkg_deb)
    return tmp_path / "log"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def raw(root: Path) -> Path:
    return root / "FashionMNIST" / "raw"


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in raw(root).iterdir() if path.suffix != ".gz"}


def fill(folder: Path, *, gz: bool) -> None:
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / (f"{name}.gz" if gz else name)).write_bytes(gzip.compress(content) if gz else content)


def gives_up(root: Path, message: str) -> None:
    """See that fetching fails with a message in seconds."""
    start = time.monotonic()
    with pytest.raises(DataError, match=message):
        fetch("fashion_mnist", root)
    assert time.monotonic() - start < 5


def test_files_already_there_are_enough(root: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    fill(raw(root), gz=False)
    monkeypatch.setattr(fetching, "_fetch_files", None)
    root.chmod(0o555)
    prepare(DataConfig(name="fashion_mnist", root=str(root)))
    root.chmod(0o755)
    assert capsys.readouterr().out == f"fashion_mnist: ready in {root}\n"


@pytest.mark.parametrize("folder", ["share/fashion-mnist", "data/FashionMNIST/raw"])
def test_gzipped_files_of_the_package_or_in_place_come_before_the_mirror(
    root: Path, mirror: Mirror, folder: str, tmp_path: Path, capsys
) -> None:
    fill(tmp_path / folder, gz=True)
    fetch("fashion_mnist", root)
    assert contents(root) == CONTENTS and mirror.asked == []
    assert f"{tmp_path / folder}\n" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [b"", b"content of something else"])
def test_only_a_damaged_file_is_fetched_again(root: Path, mirror: Mirror, damage: bytes, capsys) -> None:
    fill(raw(root), gz=False)
    (raw(root) / NAMES[2]).write_bytes(damage)
    fetch("fashion_mnist", root)
    assert contents(root) == CONTENTS and mirror.asked == [f"{NAMES[2]}.gz"]
    source = "torchvision's mirror"
    said = f"fashion_mnist: 1 file: fetching from {source}\nfashion_mnist: 1 file from {source}\n"
    assert capsys.readouterr().out == said, "what it does, and no failure before the success"


@pytest.mark.parametrize(
    "bad",
    [gzip.compress(b"other data"), gzip.compress(CONTENTS[NAMES[3]])[:-12], b"<html>Please log in</html>", b"", None],
    ids=["other data", "cut short", "a login page", "empty", "404"],
)
def test_downloads_are_verified_and_come_before_debians_package(
    root: Path, mirror: Mirror, bad: bytes | None, debian: Path
) -> None:
    mirror.files[f"{NAMES[3]}.gz"] = bad
    fetch("fashion_mnist", root)
    assert contents(root) == CONTENTS and mirror.asked == [f"{name}.gz" for name in NAMES]
    commands = [line.split()[-1] for line in debian.read_text().splitlines()]
    assert commands == ["update", "dataset-fashion-mnist"], "with package lists of its own"


def test_all_sources_fail(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as caught:
        fetch("fashion_mnist", root)
    for remedy in (
        f"put {', '.join(NAMES)} (or the same with .gz) into {raw(root)}",
        "connect to a network",
        "apt-get update && apt-get install dataset-fashion-mnist",
        "Connection refused",
        "apt-get download",
    ):
        assert remedy in str(caught.value)
    assert contents(root) == {}
    monkeypatch.setattr(CIFAR10, "url", closed_port() + "cifar.tar.gz")
    with pytest.raises(DataError) as caught:
        fetch("cifar10", root)
    assert f"put cifar-10-python.tar.gz (MD5 {CIFAR10.tgz_md5}) into {root}" in str(caught.value)
    assert "\n" not in str(caught.value) and socket.getdefaulttimeout() is None
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["cifar10"], torchvision="FashionMNIST"))
    with pytest.raises(DataError, match=f"put its files into {raw(root)}, then `make data`"):
        fetch("mnist", root)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'W: odd' >&2\necho 'E: no such release' >&2\nexit 100", "apt-get: E: no such release"),
        ("exec sleep 60", r"apt-get: took longer than 0\.2 s"),
    ],
)
def test_a_program_that_fails_or_hangs_is_given_up(root: Path, monkeypatch, tmp_path, script: str, message) -> None:
    monkeypatch.setattr(fetching, "TRANSFER_SECONDS", 0.2)
    programs(monkeypatch, tmp_path, apt_get=f"#!/bin/sh\n{script}\n")
    gives_up(root, message)


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "a byte now and then"])
def test_a_slow_mirror_is_given_up(root: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, drip: bool) -> None:
    monkeypatch.setattr(fetching, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(fetching, "TRANSFER_SECONDS", 0.5)
    done = threading.Event()

    def serve(handler: Handler) -> None:
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" if drip else b"")
            while not done.wait(0.05):
                handler.wfile.write(b"x" if drip else b"")

    monkeypatch.setattr(Handler, "do_GET", serve)
    gives_up(root, r"took longer than 0\.5 s" if drip else "timed out|no answer in")
    done.set()


def test_a_name_server_that_hangs_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(fetching, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(30) and [])
    gives_up(root, r"no answer in 0\.2 s")
    done.set()


def test_of_two_at_once_one_fetches_and_the_other_waits(root: Path, monkeypatch, capsys) -> None:
    asked = []

    def read(folder: Path, names: list[str]) -> list[bytes]:
        asked.append(folder)
        time.sleep(0.3)
        return [gzip.compress(CONTENTS[name]) for name in names]

    monkeypatch.setattr(fetching, "_from_directory", read)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(prepare, [DataConfig(name="fashion_mnist", root=str(root))] * 2))
    assert asked == [raw(root)] and contents(root) == CONTENTS
    assert capsys.readouterr().out.count(f"fashion_mnist: ready in {root}\n") == 2


def test_a_root_that_cannot_be_worked_in_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LOCK_SECONDS", 0.2)
    with lock(root), pytest.raises(DataError, match=f"cannot work in {root}: .* in use by process {os.getpid()}"):
        prepare(DataConfig(name="fashion_mnist", root=str(root)))
    (root / "file").write_text("")
    with pytest.raises(DataError, match=f"cannot work in {root / 'file'}"):
        prepare(DataConfig(name="fashion_mnist", root=str(root / "file")))


@pytest.mark.parametrize(("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar_through_torchvision(root: Path, mirror: Mirror, monkeypatch, name: str, kind: type[CIFAR10]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    mirror.files["cifar.tar.gz"] = small_cifar(monkeypatch, kind, f"{mirror.url}cifar.tar.gz", pixels)
    fetch(name, root)
    asked = list(mirror.asked)
    fetch(name, root)
    assert mirror.asked == asked
    images = load(DataConfig(name=name, root=str(root), img_size=32), train=True)
    assert np.array_equal(images.images.numpy(), pixels) and images.labels.tolist() == [5, 0, 9, 2]


def test_the_command_fetches_or_lists_the_remedies(root: Path) -> None:
    code, said = inside("scripts/fetch_data.py", f"data.root={root}")
    assert code == 2 and "Any one of these helps" in said
    shutil.rmtree(root)
    fill(raw(root), gz=False)
    assert inside("scripts/fetch_data.py", f"data.root={root}") == (0, f"fashion_mnist: ready in {root}\n")
    code, said = inside("scripts/fetch_data.py", "data=fashion")
    assert code == 2 and "allowed: cifar10 cifar100 fashion_mnist imagefolder imagenet imagenet_a" in said
    code, said = inside("scripts/fetch_data.py", "data=imagefolder", f"data.root={'x' * 300}")
    assert code == 2 and ": File name too long" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="not a Debian")
def test_the_real_package(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(FashionMNIST, "mirrors", [closed_port()])
    fetch("fashion_mnist", root)
    assert damaged_files("fashion_mnist", root) == []

"""Where the files of Fashion-MNIST come from: a source gives the gzipped files asked for or says why not."""

import http.client
import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from roadmap.errors import DataError

T = TypeVar("T")

DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")

CONNECT_SECONDS = 4.0
TRANSFER_SECONDS = 120.0


def directory(folder: Path, names: list[str]) -> Iterator[bytes]:
    """The files from a folder that has them gzipped.

    Raises:
        DataError: one is not there.
    """
    for name in names:
        path = folder / f"{name}.gz"
        if not path.is_file():
            raise DataError(f"no {path.name} there")
        yield path.read_bytes()


def mirrors(names: list[str]) -> Iterator[bytes]:
    """The files from torchvision's mirrors.

    Raises:
        DataError: one is at none of them.
    """
    from torchvision.datasets import FashionMNIST

    for name in names:
        failures = []
        for mirror in FashionMNIST.mirrors:
            try:
                packed = get(f"{mirror}{name}.gz")
                break
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{mirror}: {error or type(error).__name__}")
        else:
            raise DataError("; ".join(failures))
        yield packed


def get(url: str) -> bytes:
    """What stands at `url`, or an error in bounded time, whatever the network does.

    Raises:
        OSError, http.client.HTTPException: it cannot be had.
    """
    end = time.monotonic() + TRANSFER_SECONDS
    try:
        response = _within(CONNECT_SECONDS, lambda: urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise
    chunks = []
    with response:
        while chunk := response.read1(1 << 16):
            chunks.append(chunk)
            if time.monotonic() > end:
                raise TimeoutError(f"took longer than {TRANSFER_SECONDS:g} s")
    return b"".join(chunks)


def debian_package(names: list[str]) -> Iterator[bytes]:
    """The files out of Debian's package, downloaded and unpacked in a temporary folder: needs no root.

    Raises:
        DataError: apt-get or dpkg-deb fails.
        OSError: there is no apt-get or dpkg-deb.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            _apt_get(folder, "download", DEBIAN_PACKAGE)
        except DataError:  # the system's package lists may be missing or stale: read fresh ones into the folder
            (folder / "lists" / "partial").mkdir(parents=True)
            private = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
            _apt_get(folder, *private, "update")
            _apt_get(folder, *private, "download", DEBIAN_PACKAGE)
        _run(folder, "dpkg-deb", "-x", *(path.name for path in folder.glob("*.deb")), "unpacked")
        yield from directory(folder / "unpacked" / DEBIAN_DIRECTORY.relative_to("/"), names)


def _within(seconds: float, action: Callable[[], T]) -> T:
    """The action's result; without one in time a TimeoutError, and the thread is left to itself.

    A socket's time-out does not reach the look-up of the host's name, which can hang for minutes.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer in {seconds:g} s") from None


def _apt_get(folder: Path, *words: str) -> None:
    options = (
        "APT::Sandbox::User=root",
        f"Acquire::http::Timeout={CONNECT_SECONDS:.0f}",
        "Acquire::Retries=1",
    )
    _run(folder, "apt-get", "-qq", *(word for option in options for word in ("-o", option)), *words)


def _run(folder: Path, *command: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            timeout=TRANSFER_SECONDS,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{command[0]}: took longer than {TRANSFER_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataError(f"{command[0]}: {lines[-1]}")

"""Files that are whole or not there, and directories that one process at a time may write."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from roadmap.errors import Locked, NoSpace

LOCK = ".lock"
"""What a directory holds of whoever holds it."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomic(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write text, bytes, or what a function writes into a stream: all of it under `path`, or nothing.

    The content goes into a temporary file beside it, is forced to disk, and takes the name in one rename.

    Raises:
        NoSpace: there is no room for it; what was under `path` before still is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except Exception as error:
        if full := _full(error):
            raise NoSpace(f"{path}: {full.strerror}: free some and run the same command again") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(directory: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold `directory` for this process alone; the system lets go of it when the process ends, however it ends.

    Raises:
        Locked: another process still holds it after `wait` seconds; it is named.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with (directory / LOCK).open("a+b", buffering=0) as stream:
        while not _taken(stream):
            if time.monotonic() > deadline:
                stream.seek(0)
                holder = stream.read().decode(errors="replace").strip() or "unknown"
                raise Locked(f"{directory} is in use by process {holder}: wait for it, or stop it")
            time.sleep(0.1)
        with contextlib.suppress(OSError):  # a name for who is refused, no part of the lock: it may find no room
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def in_use(directory: Path) -> bool:
    """Whether a living process of this machine holds a directory."""
    try:
        with (directory / LOCK).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def remove_leftovers(directory: Path) -> None:
    """Remove what writers left that were killed; only for who holds the directory."""
    for path in directory.glob(".*.tmp"):
        path.unlink()


def _taken(stream: FileIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _full(error: BaseException | None) -> OSError | None:
    """What says that there is no room, in an error or behind it: torch hides it behind one of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        error = error.__cause__ or error.__context__
    return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that are whole or absent, and directories that one process at a time may write."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from roadmap.errors import Locked, NoSpace, causes

LOCK = ".lock"  # its lock holds the directory; its content is the process id of the holder
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomic(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write text, bytes, or the output of a function that takes a stream, completely or not at all.

    The content goes into a temporary file in the same directory, which is synced and then renamed. If the device is
    full, NoSpace is raised and an earlier file at `path` is unchanged. What UTF-8 lacks, from names of files, is
    written as escapes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open_no_link(temporary, "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except Exception as error:
        for each in causes(error):
            if isinstance(each, OSError) and each.errno in FULL:
                raise NoSpace(f"{path}: {each.strerror}: free some and run the same command again") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def open_no_link(path: Path, mode: str, buffering: int = -1) -> BinaryIO:
    """Open a binary file; an OSError if it is a link, which may lead to somebody's file. A pipe does not block it."""
    extra = os.O_NOFOLLOW | os.O_NONBLOCK
    return cast(BinaryIO, open(path, mode, buffering, opener=lambda name, flags: os.open(name, flags | extra, 0o666)))


def refuse_links(path: Path, *, below: bool = True) -> None:
    """Refuse a place that is a link or, if `below`, holds one that leads out of it (OSError).

    Libraries write and delete through links.
    """
    found = [path] if path.is_symlink() else []
    for at, folders, files in os.walk(path) if below and not found else ():
        links = [each for name in (*folders, *files) if (each := Path(at) / name).is_symlink()]
        found += [each for each in links if not Path(os.path.realpath(each)).is_relative_to(path.resolve())]
    if found:
        raise OSError(errno.ELOOP, "a link, through which somebody's file might be written: remove it", str(found[0]))


def remove_tree(path: Path) -> None:
    """Remove what a library left at a path: a folder, or a link to one but not what it leads to."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def lock(directory: Path, *, wait: float = 0.0, make: bool = True) -> Iterator[None]:
    """Hold `directory` for this process alone; the system releases it when the process ends, however it ends.

    Locked is raised if another process still holds it after `wait` seconds, and a FileNotFoundError if it is not there
    and `make` is false: a directory that somebody removed is not to come back.
    """
    if make:
        directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with open_no_link(directory / LOCK, "a+b", 0) as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    stream.seek(0)
                    holder = stream.read().decode(errors="replace").strip() or "unknown"
                    raise Locked(f"{directory} is in use by process {holder}: wait for it, or stop it") from error
            time.sleep(0.1)
        with contextlib.suppress(OSError):  # only for the message to others: the disk may be full
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def in_use(directory: Path) -> bool:
    """Whether a living process of this machine holds the directory."""
    try:
        with open_no_link(directory / LOCK, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of killed writers; only for the holder of the directory."""
    for path in directory.glob(".*.tmp"):
        path.unlink()

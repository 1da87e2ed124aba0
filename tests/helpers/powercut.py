"""What a disk may hold after a power cut, for every order of writes that it has not been told to keep.

A name given, moved or removed lasts from the next fsync of its directory, and may last before; the bytes of a file
last from its own fsync, before which any first part of them may be there.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Names = dict[str, int]
"""Name to inode."""


class Disk:
    """Watches what is done in a directory, and tells what a power cut at each moment of it could leave."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names: Names = {path.name: path.stat().st_ino for path in directory.iterdir()}
        self.synced = {path.stat().st_ino: path.read_bytes() for path in directory.iterdir()}
        self.pending: list[tuple[str, str, int]] = []
        """(name that is given, name that is taken away, inode) since the directory was last synced."""
        self.moments: list[dict[str, bytes]] = []
        self.unsynced: dict[int, bytes] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note every creation, fsync and renaming."""
        fsync, replace, opened = os.fsync, Path.replace, Path.open

        def open_(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            stream = opened(path, mode, *more, **named)
            if "w" in mode:
                self.pending.append((path.name, "", path.stat().st_ino))
                self.cut()
            return stream

        def fsync_(descriptor: int) -> None:
            inode = os.fstat(descriptor).st_ino
            written = Path(f"/proc/self/fd/{descriptor}").resolve()
            if inode != self.directory.stat().st_ino:
                self.unsynced[inode] = written.read_bytes()
                self.cut()
            fsync(descriptor)
            if inode == self.directory.stat().st_ino:
                self.names = self.applied(self.pending)
                self.pending.clear()
            else:
                self.synced[inode] = self.unsynced.pop(inode)
            self.cut()

        def replace_(source: Path, target: Path) -> Path:
            inode = source.stat().st_ino
            replace(source, target)
            self.pending.append((Path(target).name, source.name, inode))
            self.cut()
            return target

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync_)
            patch.setattr(Path, "replace", replace_)
            patch.setattr(Path, "open", open_)
            yield

    def applied(self, changes: list[tuple[str, str, int]]) -> Names:
        """The names after some changes."""
        names = dict(self.names)
        for given, taken, inode in changes:
            if names.get(taken) == inode:
                del names[taken]
            names[given] = inode
        return names

    def cut(self) -> None:
        """Note what the power could leave if it went now: any of the pending changes, any part of unsynced bytes."""
        for count in range(len(self.pending) + 1):
            for some in itertools.combinations(self.pending, count):
                for share in (0.0, 0.5, 1.0):
                    left = {}
                    for name, inode in self.applied(list(some)).items():
                        part = self.unsynced.get(inode, b"")
                        left[name] = self.synced.get(inode, part[: int(len(part) * share)])
                    if left not in self.moments:
                        self.moments.append(left)


def lay_out(directory: Path, left: dict[str, bytes]) -> Path:
    """A directory as a power cut left it."""
    directory.mkdir()
    for name, content in left.items():
        (directory / name).write_bytes(content)
    return directory

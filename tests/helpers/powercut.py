"""What a disk may hold after a power cut, for every order of writes that it has not been told to keep.

A name given, moved or removed lasts from the next fsync of its directory, and may last before; the bytes of a file
last from its own fsync, before which any first part of them may be there.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Change = tuple[str, str, int]
"""The name that is given, the name that is taken away, and the inode."""


@contextmanager
def power_cuts(directory: Path) -> Iterator[list[dict[str, bytes]]]:
    """Watch every creation, fsync and renaming in a directory, and list what a power cut at any moment could leave."""
    fsync, replace = os.fsync, Path.replace
    names = {path.name: path.stat().st_ino for path in directory.iterdir()}
    synced = {inode: (directory / name).read_bytes() for name, inode in names.items()}
    unsynced: dict[int, bytes] = {}
    pending: list[Change] = []  # since the directory was last synced
    moments: list[dict[str, bytes]] = []

    def cut() -> None:
        """Note what a power cut could leave now: any of the pending changes, any part of unsynced bytes."""
        subsets = (itertools.combinations(pending, count) for count in range(len(pending) + 1))
        for some, share in itertools.product(itertools.chain(*subsets), (0.0, 0.5, 1.0)):
            left = {}
            for name, inode in _changed(names, some).items():
                part = unsynced.get(inode, b"")
                left[name] = synced.get(inode, part[: int(len(part) * share)])
            if left not in moments:
                moments.append(left)

    def noted(opened: Callable[..., Any]) -> Callable[..., Any]:
        def open_(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            stream = opened(path, mode, *more, **named)
            if "w" in mode:
                pending.append((Path(path).name, "", Path(path).stat().st_ino))
                cut()
            return stream

        return open_

    def fsync_(descriptor: int) -> None:
        nonlocal names
        inode = os.fstat(descriptor).st_ino
        if inode == directory.stat().st_ino:
            fsync(descriptor)
            names = _changed(names, pending)
            pending.clear()
        else:
            unsynced[inode] = Path(f"/proc/self/fd/{descriptor}").resolve().read_bytes()
            cut()
            fsync(descriptor)
            synced[inode] = unsynced.pop(inode)
        cut()

    def replace_(source: Path, target: Path) -> Path:
        pending.append((Path(target).name, source.name, source.stat().st_ino))
        replace(source, target)
        cut()
        return target

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync_)
        patch.setattr(Path, "replace", replace_)
        patch.setattr(Path, "open", noted(Path.open))
        patch.setattr("builtins.open", noted(open))
        yield moments


def _changed(names: dict[str, int], changes: Iterable[Change]) -> dict[str, int]:
    """Name to inode after some changes."""
    names = dict(names)
    for given, taken, inode in changes:
        if names.get(taken) == inode:
            del names[taken]
        names[given] = inode
    return names

"""Making a resized copy on many processes: stopped at any moment, it goes on where it was."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from roadmap.data.resized import Resized, image_files, make_file, write_manifest
from roadmap.data.sources import DataError
from roadmap.files import lock, remove_leftovers

PARTS = ("train", "val")
CHUNK = 8
"""Files that a process takes at a time."""


def shrink(wanted: Resized, to: Path, *, workers: int) -> Iterator[tuple[int, int, list[str]]]:
    """Make the copy; yields files done, files in all, and a line for each that could not be read so far.

    The manifest says how many images there are when, at the end, all of them have been seen to be whole.

    Raises:
        DataError: a part of the source holds no images, or something else lies where a link should.
        ConfigError: `to` holds another copy.
        Locked: another process works in `to`.
    """
    source = Path(wanted.source)
    files = [Path(part) / path for part in wanted.parts for path in image_files(source / part)]
    for part in wanted.parts:
        if not any(path.parts[0] == part for path in files):
            raise DataError(f"{source / part}: no images")
    with lock(to):
        write_manifest(to, wanted)
        for part in PARTS:
            if part not in wanted.parts:
                link(to / part, source / part)
        for folder in {path.parent for path in files}:
            remove_leftovers(to / folder)
        troubles: dict[Path, str] = {}
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=follow_parent)
        try:
            jobs = partial(_make, source, to, wanted.short_side, wanted.quality)
            for done, (path, trouble) in enumerate(pool.map(jobs, files, chunksize=CHUNK), start=1):
                if trouble:
                    troubles[path] = trouble
                yield done, len(files), list(troubles.values())
        finally:
            pool.shutdown(cancel_futures=True)
        there = sum(1 for part in wanted.parts for _ in image_files(to / part))
        if there != len(files) - len(troubles):
            raise DataError(f"{to}: {there} images, not {len(files) - len(troubles)} as in {source}")
        write_manifest(to, replace(wanted, images=there, unreadable=tuple(map(str, troubles))))


def link(place: Path, target: Path) -> None:
    """Make a place lead to the originals.

    Raises:
        DataError: there is something else.
    """
    if place.is_symlink() and place.resolve() == target.resolve():
        return
    if place.is_symlink() or place.exists():
        raise DataError(f"{place}: is there, and is not a link to {target}")
    if target.is_dir():
        place.symlink_to(target, target_is_directory=True)


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make(source: Path, to: Path, short_side: int, quality: int, path: Path) -> tuple[Path, str | None]:
    return path, make_file(source / path, to / path, short_side, quality)

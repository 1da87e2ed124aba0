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

from roadmap.data.resized_copy import Resized, make_file, read_manifest, refuse_another, write_manifest
from roadmap.data.trees import image_files
from roadmap.errors import DataError, require
from roadmap.files import lock, remove_leftovers

PARTS = ("train", "val")
CHUNK = 8
"""Files that a process takes at a time."""


def shrink(wanted: Resized, to: Path, *, workers: int) -> Iterator[tuple[int, int, list[str]]]:
    """Make the copy; yields files done, files in all, and a line for each that could not be read so far.

    The manifest says how many images there are when, at the end, all of them have been seen to be whole.

    Raises:
        DataError: a part of the source holds no images or cannot be looked into, or `to` cannot be written.
        ConfigError: the source is itself a copy, or `to` holds something else; nothing is written then.
        Locked: another process works in `to`.
    """
    source = Path(wanted.source)
    if copy := read_manifest(source):
        require(False, "data.root", source, f"originals: this is a resized copy of {copy.source}")
    files = [Path(part) / path for part in wanted.parts for path in image_files(source / part)]
    for part in wanted.parts:
        if not any(path.parts[0] == part for path in files):
            raise DataError(f"{source / part}: no images")
    refuse_another(to, wanted)
    links = {to / part: source / part for part in PARTS if part not in wanted.parts}
    for place, target in links.items():
        refuse_other_than_link(place, target)
    with lock(to):
        write_manifest(to, wanted)
        for place, target in links.items():
            if target.is_dir() and not place.is_symlink():
                place.symlink_to(target, target_is_directory=True)
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


def refuse_other_than_link(place: Path, target: Path) -> None:
    """See that a place is free, or leads to the originals.

    Raises:
        DataError: there is something else.
    """
    leads = place.is_symlink() and place.resolve() == target.resolve()
    if not leads and (place.is_symlink() or place.exists()):
        raise DataError(f"{place}: is there, and is not a link to {target}")


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

"""A resized copy of an image tree, made by many processes and resumable at any moment.

An image is resized as evaluation resizes it: bicubic, the short side to N pixels, the long side rounded down. It is
stored as JPEG (RGB, 4:2:0) without metadata, which training does not use. A JPEG (RGB or grey) that is not larger is
copied byte for byte. Imports no torch, since many processes import it.
"""

import io
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from PIL import Image

from roadmap.config.values import Range, conform
from roadmap.data.decoding import as_rgb, open_image, raise_shortage, reason
from roadmap.data.folders import image_paths
from roadmap.data.records import PARTS
from roadmap.errors import DataError, require
from roadmap.files import LOCK, lock, refuse_links, remove_leftovers, write_atomic
from roadmap.terminal import Terminal

MANIFEST = "resized.json"
DEFAULTS = {"data.root": "", "to": "", "short_side": "256", "quality": "90", "parts": "train", "workers": "1"}


@dataclass(frozen=True)
class Resized:
    """The content of a copy's manifest."""

    source: str
    short_side: Annotated[int, Range(1, 4096)]  # pixels; smaller images keep their size
    quality: Annotated[int, Range(1, 95)]  # of JPEG, 1 to 95
    parts: tuple[str, ...]  # resized parts; the others are links to the source
    images: Annotated[int, Range(1, 10**9)] | None = None  # images in these parts; None: the copy is not finished
    unreadable: tuple[str, ...] = ()  # files, relative to source, that cannot be read and are left out

    def __str__(self) -> str:
        left_out = f", without {len(self.unreadable)} files that cannot be read" if self.unreadable else ""
        return f"{' and '.join(self.parts)}: short side {self.short_side}, quality {self.quality}{left_out}"


def main(words: list[str]) -> int:
    """Make a resized copy of an image tree: smaller files that decode faster, for machines with few cores.

        python scripts/prepare.py data.root=/path/to/imagenet to=/path/to/small short_side=256 quality=90 workers=8
        python train.py study=imagenet data.root=/path/to/small +step=gelu

    train/ is resized and val/ becomes a link, so that evaluation reads the original images; parts=train,val resizes
    both. Run again after a stop, it continues. Training on a copy is not training on the original images: every result
    says so (docs/resized.md).

    Exit code: 0 done, 1 done but some files cannot be read, 2 refused, 128 + signal stopped.
    """
    from rich.progress import Progress

    from roadmap.cli import options, whole
    from roadmap.signals import caught

    chosen = options(words, DEFAULTS)
    for key in ("data.root", "to"):
        require(bool(chosen[key]), key, "", "a folder")
    source, to = (Path(chosen[key]).expanduser().resolve() for key in ("data.root", "to"))
    nested = to.is_relative_to(source) or source.is_relative_to(to)
    require(not nested, "to", to, f"a folder outside of data.root={source}")
    parts = tuple(part for part in PARTS if part in chosen["parts"].split(","))
    require(",".join(parts) == chosen["parts"], "parts", chosen["parts"], "train, val, or train,val")
    short_side, quality = whole(chosen, "short_side", most=4096), whole(chosen, "quality", most=95)
    wanted, workers = Resized(str(source), short_side, quality, parts), whole(chosen, "workers", most=256)
    console = Terminal()
    with caught() as stop, Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("resizing", total=None)
        for done, total, errors in resize(wanted, to, workers=workers):  # noqa: B007 (at least one image)
            bar.update(task, completed=done, total=total)
            if stop:
                print("stopped: the same command continues from here", file=sys.stderr)
                return 128 + stop[0]
    for line in errors:
        console.print(f"error: {line}")
    console.print(f"{total - len(errors):,} of {total:,} images in {to}, {wanted}")
    return 1 if errors else 0


def resize(wanted: Resized, to: Path, *, workers: int) -> Iterator[tuple[int, int, list[str]]]:
    """Make the copy. Yields the files done, all files, and a line for each file so far that cannot be read.

    The manifest states the number of images only at the end, when all of them have been decoded. Nothing is written if
    the source has no images or is itself a copy, or if `to` holds something else.
    """
    source = Path(wanted.source)
    copy = read_manifest(source)
    require(copy is None, "data.root", source, f"original images: this is a resized copy of {copy and copy.source}")
    files = [Path(part) / path for part in wanted.parts for path in image_files(source / part)]
    for part in wanted.parts:
        if not any(path.parts[0] == part for path in files):
            raise DataError(f"{source / part}: no images")
    refuse_another(to, wanted)
    links = {to / part: source / part for part in PARTS if part not in wanted.parts}
    for link, target in links.items():
        if (link.is_symlink() or link.exists()) and not (link.is_symlink() and link.resolve() == target.resolve()):
            raise DataError(f"{link}: is there, and is not a link to {target}")
    with lock(to):
        write_manifest(to, wanted)
        for link, target in links.items():
            if target.is_dir() and not link.is_symlink():
                link.symlink_to(target, target_is_directory=True)
        for folder in {path.parent for path in files}:
            refuse_links(to / folder, below=False)
            remove_leftovers(to / folder)
        unreadable: dict[Path, str] = {}
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)
        try:
            job = partial(_resize_file, wanted, to)
            for done, (path, error) in enumerate(zip(files, pool.map(job, files, chunksize=8), strict=True), start=1):
                if error:
                    unreadable[path] = error
                yield done, len(files), list(unreadable.values())
        finally:
            pool.shutdown(cancel_futures=True)
        count = sum(1 for part in wanted.parts for _ in image_files(to / part))
        if count != len(files) - len(unreadable):
            raise DataError(f"{to}: {count} images, not {len(files) - len(unreadable)} as in {source}")
        write_manifest(to, replace(wanted, images=count, unreadable=tuple(map(str, unreadable))))


def image_files(folder: Path) -> Iterator[Path]:
    """Paths of the image files below a folder, relative to it."""
    return (Path(path).relative_to(folder) for path in image_paths(folder))


def read_manifest(root: Path) -> Resized | None:
    """The manifest of the copy in root; None if root is not a copy. A damaged one raises a DataError."""
    path = root / MANIFEST
    try:
        read = json.loads(path.read_text())
        conform(read, Resized, "")
        fields: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
        return Resized(**fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}") from error


def finished_copy(root: Path) -> Resized | None:
    """`read_manifest`, and a DataError if the copy is not finished."""
    manifest = read_manifest(root)
    if manifest and manifest.images is None:
        raise DataError(f"{root}: a resized copy that is not finished: run scripts/prepare.py again")
    return manifest


def write_manifest(root: Path, manifest: Resized) -> None:
    write_atomic(root / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")


def refuse_another(root: Path, wanted: Resized) -> None:
    """Refuse a folder that holds anything but a copy of the same kind, finished or not."""
    before = read_manifest(root)
    other = sorted(path.name for path in root.iterdir() if path.name != LOCK) if root.exists() else []
    allowed = f"an empty folder or a copy begun before: {other[0] if other else ''} there would be mixed with it"
    require(before is not None or not other, "to", root, allowed)
    for key in ("source", "short_side", "quality", "parts"):
        there, asked = getattr(before or wanted, key), getattr(wanted, key)
        require(there == asked, key, asked, f"{there} in {root}, which holds that copy; choose another place")


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and exit when the parent does, however it ends."""

    def follow(parent: Any) -> None:
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=follow, args=[multiprocessing.parent_process()], daemon=True).start()


def _resize_file(wanted: Resized, to: Path, path: Path) -> str | None:
    """Write one file of the copy and decode it, unless it is there and intact; the reason if it cannot be read."""
    original, target = Path(wanted.source) / path, to / path
    try:
        with open_image(original) as image:
            small = image.format == "JPEG" and image.mode in ("RGB", "L") and min(image.size) <= wanted.short_side
            size = resized_size(image.size, wanted.short_side)
            if _intact(target, size):
                return None
            image.load()
            content = original.read_bytes() if small else encode(image, size, wanted.quality)
    except Exception as error:  # Pillow's decoders raise nearly any type
        raise_shortage(error, str(original))
        return f"{original}: {reason(error)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, content)
    if _intact(target, size):
        return None
    target.unlink()
    return f"{original}: cannot be read: its copy is not an image of {size[0]}x{size[1]}"


def resized_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with a short side of at most `short_side` and the same ratio."""
    short = min(size)
    if short <= short_side:
        return size
    width, height = (int(short_side * side / short) for side in size)
    return width, height


def encode(image: Image.Image, size: tuple[int, int], quality: int) -> bytes:
    """An image as JPEG of a size (width, height)."""
    stream = io.BytesIO()
    resized = as_rgb(image).resize(size, Image.Resampling.BICUBIC)
    resized.save(stream, "JPEG", quality=quality, subsampling="4:2:0", exif=b"", comment=b"")
    return stream.getvalue()


def _intact(path: Path, size: tuple[int, int]) -> bool:
    """Whether a file is a complete JPEG of this size."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            image.load()
            return image.size == size
    except Exception:  # as above
        return False

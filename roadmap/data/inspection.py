"""Look at every file of an image tree: what is there, and what of it cannot be trained with."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torchvision.datasets import ImageFolder

PARTS = ("train", "val")
IMAGENET = {"train": 1_281_167, "val": 50_000}
"""Images of ImageNet-1K (Russakovsky et al., arXiv 1409.0575), which has 1000 classes."""
WNID = re.compile(r"n\d{8}")


class Seen(NamedTuple):
    """What one file turned out to be."""

    path: Path
    trouble: str | None
    """Why it cannot be read."""
    note: str | None
    """What is odd but does no harm: another format than its name says, colours other than RGB or grey."""
    size: tuple[int, int]
    """Width and height in pixels."""
    bytes: int


@dataclass
class Report:
    """What a tree holds."""

    images: Counter[str] = field(default_factory=Counter)
    classes: dict[str, list[str]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    pixels: int = 0


def inspect(path: Path) -> Seen:
    """Decode a whole file."""
    length = 0
    try:
        length = path.stat().st_size
        with Image.open(path) as image:
            image.load()
            form, mode, size = image.format or "?", image.mode, image.size
    except Exception as error:  # Pillow's decoders raise nearly anything; every one of them is the file's
        return Seen(path, f"cannot be read: {error}", None, (0, 0), length)
    notes = [f"{form} by another name"] if form != named(path) else []
    notes += [f"{mode} colours"] if mode not in ("RGB", "L") else []
    return Seen(path, None, ", ".join(notes) or None, size, length)


def named(path: Path) -> str:
    """The format that a file's name states."""
    return Image.registered_extensions().get(path.suffix.lower(), "?")


def look(root: Path, *, num_classes: int, imagenet: bool, workers: int) -> Iterator[tuple[int, int, Report]]:
    """Inspect root/train and root/val; yields files done, files in all, and the report, which is complete at last."""
    report, every = Report(), list[Path]()
    for part in PARTS:
        folder = root / part
        found = ImageFolder(str(folder), allow_empty=True)  # what training will see
        images = [Path(path) for path, _ in found.samples]
        report.classes[part], report.images[part] = found.classes, 0
        filled = {label for _, label in found.samples}
        report.troubles += [f"{folder / name}: no images" for name, i in found.class_to_idx.items() if i not in filled]
        others = sorted(
            {Path(at) / name for at, _, names in os.walk(folder, followlinks=True) for name in names} - {*images}
        )
        report.notes += [f"{path}: no image by its name or place, and not used" for path in others]
        every += images
    with ProcessPoolExecutor(workers) as pool:
        for done, seen in enumerate(pool.map(inspect, every, chunksize=16), start=1):
            _note(report, seen, root)
            yield done, len(every), report
    report.troubles += list(_contradictions(report, root, num_classes=num_classes, imagenet=imagenet))
    yield len(every), len(every), report


def summary(report: Report) -> Iterable[str]:
    """The report in lines, troubles last."""
    for part in PARTS:
        yield f"{part}: {report.images[part]:,} images in {len(report.classes[part]):,} classes"
    count = report.images.total()
    if count:
        each = f"{report.bytes / count / 1e3:.0f} kB and {report.pixels / count:,.0f} pixels an image"
        yield f"{report.bytes / 1e9:.2f} GB, {each}"
    yield from (f"note: {line}" for line in report.notes)
    yield from (f"trouble: {line}" for line in report.troubles)


def _note(report: Report, seen: Seen, root: Path) -> None:
    if seen.trouble:
        report.troubles.append(f"{seen.path}: {seen.trouble}")
        return
    report.images[seen.path.relative_to(root).parts[0]] += 1
    report.bytes += seen.bytes
    report.pixels += seen.size[0] * seen.size[1]
    if seen.note:
        report.notes.append(f"{seen.path}: {seen.note}")


def _contradictions(report: Report, root: Path, *, num_classes: int, imagenet: bool) -> Iterator[str]:
    train, val = (report.classes[part] for part in PARTS)
    if train != val:
        apart = sorted(set(train) ^ set(val))
        yield f"{root}: train and val have other classes: {' '.join(apart[:5])} ({len(apart)} in all)"
    if len(train) != num_classes:
        yield f"{root / 'train'}: {len(train)} classes, data.num_classes is {num_classes}"
    if not imagenet:
        return
    strange = [name for name in train if not WNID.fullmatch(name)]
    if strange:
        some = f"{' '.join(strange[:5])} ({len(strange)} in all)"
        yield f"{root / 'train'}: not names of ImageNet's classes (wnid): {some}"
    for part, count in IMAGENET.items():
        if report.images[part] != count:
            yield f"{root / part}: {report.images[part]:,} images, ImageNet-1K has {count:,}"

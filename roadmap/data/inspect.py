"""Look at every image of a data set: what is there, and what of it cannot be trained with."""

import hashlib
import re
import warnings
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

from PIL import ExifTags, Image
from torch.utils.data import DataLoader, Dataset

from roadmap.config import schema
from roadmap.config.checks import IMAGENET_IMAGES
from roadmap.config.schema import DataConfig
from roadmap.data import datasets as catalog
from roadmap.data.records import PARTS, Records, opened, reason
from roadmap.data.resized_copy import finished_copy
from roadmap.errors import DataError

WNID = re.compile(r"n\d{8}")


class Seen(NamedTuple):
    """What one image turned out to be."""

    name: str
    label: int
    trouble: str | None
    """Why it cannot be read."""
    note: str | None
    """What is odd but does no harm: another format than its name says, colours other than RGB or grey."""
    size: tuple[int, int]
    """Width and height in pixels."""
    bytes: int
    digest: int = 0
    """Of its bytes."""
    turned: bool = False
    """Whether it asks to be turned (EXIF's orientation), which nothing here or in torchvision and timm heeds."""


@dataclass
class Report:
    """What a data set holds."""

    images: Counter[str] = field(default_factory=Counter)
    classes: dict[str, list[str]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wnids: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Those in the names of a class's images, where classes are but numbers."""
    bytes: int = 0
    pixels: int = 0
    turned: int = 0
    digests: "dict[str, array[int]]" = field(default_factory=lambda: defaultdict(lambda: array("Q")))
    """Of the images of each part."""


class Inspected(Dataset[Seen]):
    """Every image of a part, decoded as a whole, as worker processes see it."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records.labels)

    def __getitem__(self, place: int) -> Seen:
        name, label, length = self.records.name(place), int(self.records.labels[place]), 0
        try:
            encoded = self.records.read(place)
            length = len(encoded)
            with opened(encoded) as image:
                image.load()
                form, mode, size = image.format or "?", image.mode, image.size
                turned = _turned(image)
        except Exception as error:  # Pillow's decoders raise nearly anything; every one of them is the image's
            return Seen(name, label, reason(error), None, (0, 0), length)
        notes = [f"{form} by another name"] if named(name) not in (form, None) else []
        notes += [f"{mode} colours"] if mode not in ("RGB", "L") else []
        digest = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
        return Seen(name, label, None, ", ".join(notes) or None, size, length, digest, turned)


def _turned(image: Image.Image) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EXIF data that are damaged: the image is not
            return image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except Exception:
        return False


def named(name: str) -> str | None:
    """The format that an image's name states, if it states one."""
    return Image.registered_extensions().get(PurePath(name).suffix.lower())


def look(data: DataConfig, *, workers: int) -> Iterator[tuple[int, int, Report]]:
    """Inspect both parts; yields images done, images in all, and the report, which is complete at last."""
    report, parts = Report(), dict[str, Records]()
    for part in PARTS:
        report.images[part], report.classes[part] = 0, []
        try:
            records = parts[part] = catalog.find(data, part)
        except DataError as error:
            report.troubles.append(f"{error}")
            continue
        report.classes[part] = [*records.classes] or [str(label) for label in records.labels.unique().tolist()]
        report.troubles += records.troubles or ([] if len(records.labels) else [f"{records.where}: no images"])
    report.troubles = [*dict.fromkeys(report.troubles)]
    report.notes += sorted({f"{path}: not used" for records in parts.values() for path in records.unused()})
    if copy := finished_copy(Path(data.root).expanduser()):
        report.notes.append(f"{data.root}: a resized copy ({copy})")
    done, total = 0, sum(len(records.labels) for records in parts.values())
    for part, records in parts.items():
        for some in _seen(records, workers):
            for seen in some:
                _note(report, seen, part, named_classes=bool(records.classes))
            done += len(some)
            yield done, total, report
    if all(len(records.labels) for records in parts.values()) and len(parts) == len(PARTS):
        report.troubles += list(_contradictions(report, data))
        report.notes += list(_oddities(report, data))
    yield total, total, report


def _seen(records: Records, workers: int) -> Iterator[list[Seen]]:
    with warnings.catch_warnings():  # more workers than cores is the caller's to choose, and no news of any image
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        return iter(DataLoader(Inspected(records), batch_size=16, num_workers=workers, collate_fn=list))


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


def is_imagenet(data: DataConfig) -> bool:
    """Whether this should be all of ImageNet-1K: it is named so, or its classes are a thousand numbers."""
    numbered = data.name in (schema.Dataset.webdataset, schema.Dataset.parquet)
    return data.name is schema.Dataset.imagenet or (numbered and data.num_classes == 1000)


def _note(report: Report, seen: Seen, part: str, *, named_classes: bool) -> None:
    if not named_classes and (wnid := WNID.search(PurePath(seen.name).name)):
        report.wnids[seen.label].add(wnid[0])
    if seen.trouble:
        report.troubles.append(f"{seen.name}: {seen.trouble}")
        return
    report.images[part] += 1
    report.bytes += seen.bytes
    report.turned += seen.turned
    report.digests[part].append(seen.digest)
    report.pixels += seen.size[0] * seen.size[1]
    if seen.note:
        report.notes.append(f"{seen.name}: {seen.note}")


def _contradictions(report: Report, data: DataConfig) -> Iterator[str]:
    train, val = (report.classes[part] for part in PARTS)
    if train != val:
        apart = sorted(set(train) ^ set(val))
        yield f"{data.root}: train and val have other classes: {' '.join(apart[:5])} ({len(apart)} in all)"
    if len(train) != data.num_classes:
        yield f"{data.root}: train: {len(train)} classes, data.num_classes is {data.num_classes}"
    yield from _disorder(report, data)
    if not is_imagenet(data):
        return
    strange = [name for name in train if not WNID.fullmatch(name)] if data.name is schema.Dataset.imagenet else []
    if strange:
        some = f"{' '.join(strange[:5])} ({len(strange)} in all)"
        yield f"{data.root}: train: not names of ImageNet's classes (wnid): {some}"
    for part, count in IMAGENET_IMAGES.items():
        if report.images[part] != count:
            yield f"{data.root}: {part}: {report.images[part]:,} images, ImageNet-1K has {count:,}"


def _oddities(report: Report, data: DataConfig) -> Iterator[str]:
    """What is likely to be a mistake, but can be trained with."""
    if len(report.classes["train"]) == 1:
        yield f"{data.root}: one class only: there is nothing to tell apart"
    known = {*report.digests["train"]}
    both = sum(digest in known for digest in report.digests["val"])
    if both:
        total = len(report.digests["val"])
        yield f"{data.root}: val: {both:,} of {total:,} images are, byte for byte, among those of train"
    if report.turned:
        yield f"{data.root}: images that ask to be turned (EXIF), which is not heeded (docs/data.md): {report.turned:,}"


def _disorder(report: Report, data: DataConfig) -> Iterator[str]:
    """Classes that are but numbers must be those of the sorted wnids, as in folders."""
    of = [min(names) for _, names in sorted(report.wnids.items())]
    for label, names in sorted(report.wnids.items()):
        if len(names) > 1:
            yield f"{data.root}: class {label} has images of {' '.join(sorted(names)[:5])}"
    if of != sorted(of):
        first = next(i for i, (a, b) in enumerate(zip(of, sorted(of), strict=True)) if a != b)
        yield f"{data.root}: classes are not in the order of their wnids, from {of[first]} on"

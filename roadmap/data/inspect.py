"""Decode every image of a data set and report what cannot be trained on, and what looks like a mistake."""

import hashlib
import warnings
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from PIL import ExifTags, Image

from roadmap.config.schema import DataConfig
from roadmap.data.datasets import DATASETS, WNID, dataset
from roadmap.data.decoding import as_rgb, open_image, raise_shortage, reason
from roadmap.data.fetch import prepare
from roadmap.data.loader import usable
from roadmap.data.records import PARTS, Records, find
from roadmap.data.resize import finished_copy
from roadmap.errors import DataError, first_names, require
from roadmap.terminal import Terminal


class Inspected(NamedTuple):
    """One decoded image."""

    name: str
    label: int
    error: str = ""  # why it cannot be read
    note: str = ""  # another format than its name states, colours other than RGB or grey
    bytes: int = 0
    pixels: int = 0
    digest: int = 0  # of the encoded bytes
    rotated: bool = False  # whether EXIF states an orientation, which training ignores, as torchvision and timm do


@dataclass
class Report:
    """Findings on a data set."""

    images: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(PARTS, 0)))
    classes: dict[str, list[str]] = field(default_factory=lambda: {part: [] for part in PARTS})
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wnids: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))  # in names, for numbered classes
    bytes: int = 0
    pixels: int = 0
    rotated: int = 0
    digests: "dict[str, array[int]]" = field(default_factory=lambda: defaultdict(lambda: array("Q")))


def main(words: list[str]) -> int:
    """Check every image of a study's data: counts, classes, unreadable images, odd formats, sizes.

        python scripts/check_data.py study=imagenet data.root=/path/to/imagenet
        python scripts/check_data.py data=imagefolder data.root=photos data.num_classes=4 training.workers=2
        python scripts/check_data.py study=imagenet data=webdataset data.root=/path/to/shards

    Takes all options of conf/, as train.py does. Exit code: 0 no errors, 1 errors, 2 refused.
    """
    from rich.progress import Progress

    from roadmap.config.compose import compose

    config = compose(words)
    known = [name for name, each in DATASETS.items() if not (each.in_memory or each.test_only)]
    allowed = f"one of {' '.join(known)}: `make data` checks those in memory"
    require(config.data.name in known, "data", config.data.name, allowed)
    if dataset(config.data.name).class_folders:
        prepare(config.data)
    console = Terminal()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("inspecting", total=None)
        for done, total, report in inspect(config.data, workers=config.training.workers):  # noqa: B007
            bar.update(task, completed=done, total=total)
    for part in PARTS:
        console.print(f"{part}: {report.images[part]:,} images in {len(report.classes[part]):,} classes")
    if count := report.images.total():
        mean = f"{report.bytes / count / 1e3:.0f} kB and {report.pixels / count:,.0f} pixels per image"
        console.print(f"{report.bytes / 1e9:.2f} GB, {mean}")
    for line in (*(f"note: {note}" for note in report.notes), *(f"error: {error}" for error in report.errors)):
        console.print(line)
    return 1 if report.errors else 0


def inspect(data: DataConfig, *, workers: int) -> Iterator[tuple[int, int, Report]]:
    """Inspect both parts. Yields images done, all images, and the report, which is complete at the end."""
    from torch.utils.data import DataLoader

    report, parts = Report(), dict[str, Records]()
    for part in PARTS:
        try:
            records = parts[part] = find(data, part)
        except DataError as error:
            report.errors.append(f"{error}")
            continue
        report.classes[part] = [*records.classes] or [str(label) for label in records.labels.unique().tolist()]
        report.errors += records.errors or ([] if len(records.labels) else [f"{records.where}: no images"])
    report.errors = [*dict.fromkeys(report.errors)]
    report.notes += sorted({f"{path}: not used" for records in parts.values() for path in records.others})
    report.notes += [note for records in parts.values() for note in records.notes]
    if copy := finished_copy(Path(data.root).expanduser()):
        report.notes.append(f"{data.root}: a resized copy ({copy})")
    done, total = 0, sum(len(records.labels) for records in parts.values())
    for part, records in parts.items():
        indices: Any = range(len(records.labels))
        for batch in DataLoader(indices, 16, num_workers=usable(workers), collate_fn=partial(_decode, records)):
            for image in batch:
                _add(report, image, part, named_classes=dataset(data.name).class_folders)
            done += len(batch)
            yield done, total, report
    if len(parts) == len(PARTS) and all(len(records.labels) for records in parts.values()):
        report.errors += [f"{data.root}: {error}" for error in _contradictions(report, data)]
        report.notes += [f"{data.root}: {note}" for note in _oddities(report)]
    yield total, total, report


def _decode(records: Records, indices: list[int]) -> list[Inspected]:
    return [_inspected(records, i) for i in indices]


def _inspected(records: Records, i: int) -> Inspected:
    name, label, rotated = records.name(i), int(records.labels[i]), False
    try:
        encoded = records.read(i)
        with open_image(encoded) as image:
            as_rgb(image)
            form, mode, (width, height) = image.format, image.mode, image.size
            with warnings.catch_warnings(), suppress(Exception):  # damaged EXIF data do not damage the image
                warnings.simplefilter("ignore")
                rotated = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except Exception as error:  # Pillow's decoders raise nearly any type
        raise_shortage(error, name)
        return Inspected(name, label, error=reason(error))
    stated = Image.registered_extensions().get(PurePath(name).suffix.lower())
    notes = [f"{form or '?'} by another name"] if stated not in (form, None) else []
    notes += [f"{mode} colours"] if mode not in ("RGB", "L") else []
    digest = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
    return Inspected(name, label, "", ", ".join(notes), len(encoded), width * height, digest, rotated)


def _add(report: Report, image: Inspected, part: str, *, named_classes: bool) -> None:
    if not named_classes and (wnid := WNID.search(PurePath(image.name).name)):
        report.wnids[image.label].add(wnid[0])
    if image.error:
        report.errors.append(f"{image.name}: {image.error}")
        return
    report.images[part] += 1
    report.bytes += image.bytes
    report.pixels += image.pixels
    report.rotated += image.rotated
    report.digests[part].append(image.digest)
    if image.note:
        report.notes.append(f"{image.name}: {image.note}")


def _contradictions(report: Report, data: DataConfig) -> Iterator[str]:
    train, val = (report.classes[part] for part in PARTS)
    if {*train} != {*val}:
        yield f"train and val have other classes: {first_names(set(train) ^ set(val))}"
    elif train != val:
        yield "train and val have another order of classes"
    if len(train) != data.num_classes:
        yield f"train: {len(train)} classes, data.num_classes is {data.num_classes}"
    first = [min(names) for _, names in sorted(report.wnids.items())]
    for label, names in sorted(report.wnids.items()):
        if len(names) > 1:
            yield f"class {label} has images of {' '.join(sorted(names)[:5])}"
    if wrong := [a for a, b in zip(first, sorted(first), strict=True) if a != b]:  # in folders they are sorted
        yield f"classes are not in the order of their wnids, from {wrong[0]} on"
    named = data.name == "imagenet"
    if not named and (dataset(data.name).class_folders or data.num_classes != 1000):
        return  # for shards and tables of 1000 classes, ImageNet is assumed
    for part, count in zip(PARTS, DATASETS["imagenet"].images, strict=True):
        if report.images[part] != count:
            yield f"{part}: {report.images[part]:,} images, ImageNet-1K has {count:,}"


def _oddities(report: Report) -> Iterator[str]:
    """Likely mistakes that can be trained on."""
    if len(report.classes["train"]) == 1:
        yield "only one class: there is nothing to tell apart"
    known = {*report.digests["train"]}
    if both := sum(digest in known for digest in report.digests["val"]):
        yield f"val: {both:,} of {len(report.digests['val']):,} images are byte for byte duplicates of images in train"
    if report.rotated:
        yield f"images with an EXIF orientation, which is ignored (docs/data.md): {report.rotated:,}"

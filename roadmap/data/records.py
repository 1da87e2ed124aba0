"""Encoded images of one part of a data set: the interface of every reader, checks, and the fingerprint."""

import hashlib
import importlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from roadmap.config.schema import DataConfig
from roadmap.data import imagenet
from roadmap.data.datasets import dataset, meant
from roadmap.errors import DataError, first_names, require

if TYPE_CHECKING:
    from torch import Tensor

    from roadmap.data.loader import Part

PARTS = {"train": "train(ing)?", "val": "val(id(ation)?)?"}
"""The parts of a data set, and the pattern of a word in the names of their files."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """N encoded images of one part. Pickled to worker processes, which open the files themselves."""

    where: str  # location of the part, for messages
    labels: "Tensor"  # (N,) int64
    classes: Sequence[str] = ()  # names in the order of their labels; empty if classes are only numbers
    errors: Sequence[str] = ()  # what is wrong with the part as a whole; nothing is trained on such a part
    others: Sequence[str] = ()  # files in the same place that are not used
    among: Sequence[int] = ()  # labels of the classes in the files, where `classes` has more
    notes: Sequence[str] = ()  # what was skipped or decided, for people

    def name(self, i: int) -> str:
        """File and name of an image, enough to find it."""
        raise NotImplementedError

    def relative_names(self) -> Iterable[str]:
        """Names of all images in order, independent of where the files are."""
        raise NotImplementedError

    def read(self, i: int) -> bytes:
        raise NotImplementedError


def find(data: DataConfig, part: str) -> Records:
    """The images of a part, train or val, by the reader of the data set; a DataError if there are none."""
    return importlib.import_module(f"roadmap.data.{dataset(data.name).reader}").find(data, part)


def class_names(data: DataConfig, part: str) -> Sequence[str]:
    """Names of the classes by label, as the files of a part state them; empty if they state none or are not there."""
    return importlib.import_module(f"roadmap.data.{dataset(data.name).reader}").class_names(data, part)


def numbered(records: Records, classes: Sequence[str]) -> Records:
    """The records with labels in the numbers of the weights' `classes`, by name; as they are if either has no names.

    A DataError for a name that the weights do not know. Images of some of the classes have them in `among`.
    """
    if not classes or not records.classes:
        return records
    names = imagenet.wnids_of(records.classes) if [*classes] == imagenet.wnids() else records.classes
    numbers = {name: number for number, name in enumerate(classes)}
    if unknown := [name for name in names if name not in numbers]:
        known = f"the {len(classes)} classes of the weights ({first_names(classes)})"
        raise DataError(f"{records.where}: not among {known}: {first_names(unknown)}")
    own = importlib.import_module("torch").tensor([numbers[name] for name in names])
    among = tuple(sorted(own.tolist())) if len(names) < len(classes) else ()
    return replace(records, labels=own[records.labels], classes=classes, among=among)


def check(records: Records, data: DataConfig, *, train: bool, classes: Sequence[str] = ()) -> None:
    """Refuse a part that is damaged as a whole or empty, and other classes than those of the options.

    Its classes must be `classes`, those of the training images, in set and order, where both are known by name.
    """
    if records.errors:
        raise DataError(records.errors[0])
    if not len(records.labels):
        raise DataError(f"{records.where}: no images")
    where, key, given = records.where, "data.num_classes", data.num_classes
    low, high = (int(label) for label in records.labels.aminmax())
    if low < 0:
        raise DataError(f"{records.name(int(records.labels.argmin()))}: no class")
    if records.classes:
        refuse_other_classes(classes, records.classes, where=where, of=f"the training images in {data.root}")
        count = len(records.classes)
        require(given == count, key, given, f"{count}, the classes of {where}")
        require(
            high < count,
            f"{records.name(int(records.labels.argmax()))}: label",
            high,
            f"below {count}, the number of classes",
        )
    else:
        enough = given == high + 1 if train else given > high
        require(enough, key, given, f"{high + 1}, one more than the last class of {where}")


def source_part(data: DataConfig, *, train: bool) -> str:
    """The part that a run trains on or is evaluated on: with data.holdout, it is train for both."""
    return "train" if train or data.holdout > 0 else "val"


def refuse_other_classes(there: Sequence[str], here: Sequence[str], *, where: str, of: str) -> None:
    """A DataError if classes that are known by name differ in set or order."""
    if not there or not here or [*there] == [*here]:
        return
    if different := {*there} ^ {*here}:
        raise DataError(f"{where}: other classes than {of}: {first_names(different)}")
    label = next(i for i, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
    raise DataError(f"{where}: another order of classes than {of}: class {label} is {here[label]}, not {there[label]}")


def fingerprint(training: "Part", test: "Part") -> dict[str, Any] | None:
    """The fingerprint of the image files of a run: counts, and a hash of labels and names in order; None in memory.

    Pixels and the location of the files do not count: a resized copy has the fingerprint of its source, unless files
    were left out of it.
    """
    if training.records is None or test.records is None:
        return None
    return {"train": _of_part(training.records), "val": _of_part(test.records)}


def listed(data: DataConfig) -> dict[str, Any] | None:
    """The fingerprint of the files on disk now; None for data sets that their name identifies."""
    if dataset(data.name).named:
        return None
    return {part: _of_part(find(data, source_part(data, train=part == "train"))) for part in PARTS}


def _of_part(part: Records) -> dict[str, Any]:
    digest = hashlib.blake2b(part.labels.numpy().tobytes(), digest_size=8)
    for name in part.relative_names():
        digest.update(f"{name}\0".encode(errors="surrogateescape"))
    classes = len(part.classes) or len(part.labels.unique())
    return {"images": len(part.labels), "classes": classes, "names": digest.hexdigest()}


def files_by_part(root: Path, suffix: str) -> dict[str, list[Path]]:
    """The files `*.suffix` in root and its folders, by the part whose word is in their path, sorted; "" for no part.

    Not used, and under "", are hidden files, pipes, and links to a file that the part has already.
    """
    found = {part: dict[Path, Path]() for part in PARTS}
    paths, others = [*root.glob(f"*.{suffix}"), *root.glob(f"*/*.{suffix}")], list[Path]()
    for path in sorted(paths, key=lambda path: (path.is_symlink(), path)):
        name = str(path.relative_to(root)).lower()
        parts = [part for part, word in PARTS.items() if re.search(rf"(?<![a-z]){word}(?![a-z])", name)]
        pipe = path.exists() and not path.is_file()
        if pipe or not parts or not all(map(meant, path.relative_to(root).parts)):
            others.append(path)
        for part in parts if path not in others else ():
            if found[part].setdefault(path.resolve(), path) != path:
                others.append(path)
    return {part: sorted(files.values()) for part, files in found.items()} | {"": sorted(others)}


def library(name: str, source: str) -> ModuleType:
    """Import a library that only one reader needs, or raise a DataError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = "pip install 'convnet-roadmap[shards]', or -e '.[shards]' in this directory"
        raise DataError(f"data={source} needs the library {name}: {remedy} ({error})") from error

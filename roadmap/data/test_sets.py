"""Test sets for networks that know ImageNet's 1000 classes: V2, A, R, Sketch, and the folders of C.

A folder of images for every class, directly in data.root, as unpacking gives it. Sources: ImageNet-V2 (Recht et al.,
arXiv 1902.10811), -A (Hendrycks et al., arXiv 1907.07174), -R (Hendrycks et al., arXiv 2006.16241), -Sketch (Wang et
al., arXiv 1905.13549), -C (Hendrycks and Dietterich, arXiv 1903.12261). In imagenet_classes.csv a class has its index,
its WordNet id, and whether it is one of the 200 of -A and of -R.
"""

import csv
from collections.abc import Collection
from functools import cache
from pathlib import Path

import torch
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from roadmap.config.schema import DataConfig, Dataset, RecipeConfig
from roadmap.data.folders import Folders
from roadmap.data.image_files import Photos
from roadmap.data.image_transforms import eval_pipeline
from roadmap.errors import DataError

CLASSES = Path(__file__).with_name("imagenet_classes.csv")
MEMBERS = {Dataset.imagenet_a: "in_a", Dataset.imagenet_r: "in_r"}
"""Test sets of some of the classes, and the column that marks them."""
NAMED = 5
"""Folders that a message names."""


@cache
def folders(name: Dataset) -> dict[str, int]:
    """The folders of a test set, each with its class (0 to 999): V2 names them by class, the others by WordNet id."""
    with CLASSES.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if name is Dataset.imagenet_v2:
        return {row["index"]: int(row["index"]) for row in rows}
    member = MEMBERS.get(name)
    return {row["wnid"]: int(row["index"]) for row in rows if member is None or row[member] == "1"}


def load(data: DataConfig, recipe: RecipeConfig, *, workers: int = 0) -> Photos:
    """The images in data.root, their labels (N,) of 0 to 999; data.max_test takes some, evenly spread.

    Raises:
        DataError: a folder is missing, has no images, or is none of the test set's.
    """
    root = Path(data.root).expanduser()
    known = folders(data.name)
    refuse_others(root, known, what=f"{data.name.value} has a folder for each of {len(known)} classes")
    try:
        samples = make_dataset(root, known, IMG_EXTENSIONS)
    except FileNotFoundError as error:
        raise DataError(f"{root}: {error}") from error
    labels = torch.tensor([label for _, label in samples])
    count = min(len(samples), data.max_test or len(samples))
    return Photos(
        records=Folders(str(root), [path for path, _ in samples], labels, sorted(known), troubles=[]),
        chosen=torch.arange(count) * len(samples) // count,
        pipeline=eval_pipeline(recipe, data),
        shape=torch.Size((count, data.in_chans, data.img_size, data.img_size)),
        workers=workers,
    )


def refuse_others(root: Path, known: Collection[str], *, what: str) -> None:
    """See that a folder holds these folders and no others; files in it are left alone.

    Raises:
        DataError: naming those that are missing, and those that do not belong there.
    """
    try:
        there = {path.name for path in root.iterdir() if path.is_dir()}
    except OSError as error:
        raise DataError(f"{root}: {error.strerror}: {what}") from error
    for names, wrong in ((set(known) - there, "missing"), (there - set(known), "not expected")):
        if names:
            raise DataError(f"{root}: {wrong}: {some(names)}: {what}")


def some(names: Collection[str]) -> str:
    """The first of some names, and how many there are."""
    more = f" ({len(names)} in all)" if len(names) > NAMED else ""
    return " ".join(sorted(names)[:NAMED]) + more

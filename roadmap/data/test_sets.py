"""ImageNet's test sets for networks that know its 1000 classes: V2, A, R, Sketch and C.

Class folders lie directly in data.root. Sources: ImageNet-V2 (Recht et al., arXiv 1902.10811), -A (Hendrycks et al.,
arXiv 1907.07174), -R (Hendrycks et al., arXiv 2006.16241), -Sketch (Wang et al., arXiv 1905.13549), -C (Hendrycks and
Dietterich, arXiv 1903.12261).
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from roadmap.config.conf import reference
from roadmap.config.schema import DataConfig
from roadmap.data.datasets import class_folders
from roadmap.data.folders import Folders, list_classes
from roadmap.errors import DataError, first_names

EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Four corruptions for choosing between methods; not part of ImageNet-C's mean."""
SEVERITIES = range(1, 6)


@cache
def folders(name: str) -> dict[str, int]:
    """The folders of a test set with their classes (0 to 999); V2 names them by class, the others by WordNet id."""
    rows = reference("imagenet_classes")
    if name == "imagenet_v2":
        return {row["index"]: int(row["index"]) for row in rows}
    column = {"imagenet_a": "in_a", "imagenet_r": "in_r"}.get(name)  # marks the 200 classes of a subset
    return {row["wnid"]: int(row["index"]) for row in rows if column is None or row[column] == "1"}


def find(data: DataConfig, _part: str) -> Folders:
    """`records.find`, with labels of 0 to 999; a DataError if a folder is missing or not one of the test set's."""
    root, known = Path(data.root).expanduser(), folders(data.name)
    needed = f"{data.name} has a folder for each of {len(known)} classes"
    found = {*class_folders(root)}
    for names, wrong in ((known.keys() - found, "missing"), (found - known.keys(), "not expected")):
        if names:
            raise DataError(f"{root}: {wrong}: {first_names(names)}: {needed}")
    among = () if len(known) == data.num_classes else tuple(sorted(known.values()))
    return replace(list_classes(root, known, classes=[]), among=among)


def class_names(_data: DataConfig, _part: str) -> list[str]:
    """`records.class_names`: folders are given by the data set."""
    return []


@cache
def alexnet_errors() -> dict[str, float]:
    """AlexNet's error, 0 to 1, on each of the 15 corruptions in the paper's order."""
    return {row["corruption"]: float(row["error"]) for row in reference("imagenet_c_alexnet")}


def corruptions(root: Path) -> tuple[list[str], list[str]]:
    """The complete corruptions of ImageNet-C in root, and the folders corruption/severity of it that are not there."""
    known = alexnet_errors()
    absent = {name: [f"{name}/{s}" for s in SEVERITIES if not (root / name / str(s)).is_dir()] for name in known}
    complete = [name for name in known if not absent[name]]
    found = class_folders(root)
    others = [name for name in found if name not in known and name not in EXTRA]
    needed = f"imagenet_c has {' '.join(known)}, in each the folders 1 to 5, and may have {' '.join(EXTRA)}"
    if others:
        raise DataError(f"{root}: not expected: {' '.join(others)}: {needed}")
    if not complete:
        raise DataError(f"{root}: no corruption is complete, there is {' '.join(found) or 'no folder'}: {needed}")
    return complete, [folder for name in known for folder in absent[name]]

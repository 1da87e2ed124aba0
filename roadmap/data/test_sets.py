"""ImageNet's test sets for networks that know its 1000 classes: V2, A, R, Sketch and C.

Class folders lie directly in data.root. Sources: ImageNet-V2 (Recht et al., arXiv 1902.10811), -A (Hendrycks et al.,
arXiv 1907.07174), -R (Hendrycks et al., arXiv 2006.16241), -Sketch (Wang et al., arXiv 1905.13549), -C (Hendrycks and
Dietterich, arXiv 1903.12261). imagenet_classes.csv has index, WordNet id, and membership in -A and -R of each class.
imagenet_c_alexnet.csv has AlexNet's error on each corruption, the mean over five severities, as the authors of -C
released it; their paper prints it in whole percent.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from roadmap.config.schema import DataConfig
from roadmap.data.folders import Folders, list_classes
from roadmap.errors import DataError

EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Four corruptions for choosing between methods; not part of ImageNet-C's mean."""
SEVERITIES = range(1, 6)


@cache
def folders(name: str) -> dict[str, int]:
    """The folders of a test set with their classes (0 to 999); V2 names them by class, the others by WordNet id."""
    rows = _table("imagenet_classes.csv")
    if name == "imagenet_v2":
        return {row["index"]: int(row["index"]) for row in rows}
    column = {"imagenet_a": "in_a", "imagenet_r": "in_r"}.get(name)  # marks the 200 classes of a subset
    return {row["wnid"]: int(row["index"]) for row in rows if column is None or row[column] == "1"}


def find(data: DataConfig, _part: str) -> Folders:
    """`records.find`, with labels of 0 to 999; a DataError if a folder is missing or not one of the test set's."""
    root, known = Path(data.root).expanduser(), folders(data.name)
    needed = f"{data.name} has a folder for each of {len(known)} classes"
    try:
        found = {path.name for path in root.iterdir() if path.is_dir()}
    except OSError as error:
        raise DataError(f"{root}: {error.strerror}: {needed}") from error
    for names, wrong in ((known.keys() - found, "missing"), (found - known.keys(), "not expected")):
        if names:
            raise DataError(f"{root}: {wrong}: {first_names(names)}: {needed}")
    return list_classes(root, known, classes=[])


def first_names(names: Collection[str], most: int = 5) -> str:
    """The first few of some names, and their number if there are more."""
    return " ".join(sorted(names)[:most]) + (f" ({len(names)} in all)" if len(names) > most else "")


@cache
def alexnet_errors() -> dict[str, float]:
    """AlexNet's error, 0 to 1, on each of the 15 corruptions in the paper's order."""
    return {row["corruption"]: float(row["error"]) for row in _table("imagenet_c_alexnet.csv")}


def _table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(__file__).with_name(name).read_text().splitlines()))


def missing(root: Path) -> list[str]:
    """The folders corruption/severity of ImageNet-C that are not in root.

    Raises:
        DataError: root holds other folders, or no corruption in all severities.
    """
    wanted = {f"{name}/{severity}": root / name / str(severity) for name in alexnet_errors() for severity in SEVERITIES}
    absent = [name for name, folder in wanted.items() if not folder.is_dir()]
    found = sorted(path.name for path in root.glob("*") if path.is_dir())
    others = [name for name in found if name not in alexnet_errors() and name not in EXTRA]
    known = f"imagenet_c has {' '.join(alexnet_errors())}, in each the folders 1 to 5, and may have {' '.join(EXTRA)}"
    if others:
        raise DataError(f"{root}: not expected: {' '.join(others)}: {known}")
    if not complete(absent):
        raise DataError(f"{root}: no corruption is complete, there is {' '.join(found) or 'no folder'}: {known}")
    return absent


def complete(absent: Sequence[str]) -> list[str]:
    """The corruptions without an absent folder."""
    return [name for name in alexnet_errors() if not any(folder.startswith(f"{name}/") for folder in absent)]


def corruption_error(name: str, errors: Sequence[float]) -> float:
    """CE: the sum of a network's errors (0 to 1) over the five severities, divided by AlexNet's."""
    if len(errors) != len(SEVERITIES):
        raise ValueError(f"{name}: {len(errors)} errors, not one for each of {len(SEVERITIES)} severities")
    return fmean(errors) / alexnet_errors()[name]


def mean_corruption_error(errors: Mapping[str, Sequence[float]]) -> float:
    """mCE: the mean of the 15 corruption errors. Other corruptions or numbers of errors raise a ValueError."""
    if errors.keys() != alexnet_errors().keys():
        raise ValueError(f"the mean is over {' '.join(alexnet_errors())}")
    return fmean(corruption_error(name, of_severities) for name, of_severities in errors.items())

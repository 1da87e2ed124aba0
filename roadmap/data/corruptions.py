"""ImageNet-C: which folders it has, and the mean corruption error (Hendrycks and Dietterich, arXiv 1903.12261).

In imagenet_c_alexnet.csv a corruption has its group and AlexNet's error on it, the mean over its five severities. The
paper prints them as whole percent; these are the authors' own, as released with their code and used since.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from roadmap.errors import DataError

ALEXNET = Path(__file__).with_name("imagenet_c_alexnet.csv")
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Four more that come with the 15, for choosing between methods; not part of the mean."""
SEVERITIES = range(1, 6)


@cache
def alexnet_errors() -> dict[str, float]:
    """AlexNet's error, 0 to 1, on each of the 15 corruptions in the paper's order."""
    with ALEXNET.open(newline="") as stream:
        return {row["corruption"]: float(row["error"]) for row in csv.DictReader(stream)}


def missing(root: Path) -> list[str]:
    """The folders corruption/severity that are not in root.

    Raises:
        DataError: root holds folders that are not ImageNet-C's, or not one of its corruptions in all severities.
    """
    wanted = {f"{name}/{severity}": root / name / str(severity) for name in alexnet_errors() for severity in SEVERITIES}
    absent = [name for name, folder in wanted.items() if not folder.is_dir()]
    there = sorted(path.name for path in root.glob("*") if path.is_dir())
    others = [name for name in there if name not in alexnet_errors() and name not in EXTRA]
    known = f"imagenet_c has {' '.join(alexnet_errors())}, in each the folders 1 to 5, and may have {' '.join(EXTRA)}"
    if others:
        raise DataError(f"{root}: not expected: {' '.join(others)}: {known}")
    if not complete(absent):
        raise DataError(f"{root}: no corruption is complete, there is {' '.join(there) or 'no folder'}: {known}")
    return absent


def complete(absent: Sequence[str]) -> list[str]:
    """The corruptions of which nothing is missing."""
    return [name for name in alexnet_errors() if not any(folder.startswith(f"{name}/") for folder in absent)]


def corruption_error(name: str, errors: Sequence[float]) -> float:
    """CE: the sum of a network's errors (0 to 1) over the five severities, divided by AlexNet's; 1 is as AlexNet."""
    if len(errors) != len(SEVERITIES):
        raise ValueError(f"{name}: {len(errors)} errors, not one for each of {len(SEVERITIES)} severities")
    return fmean(errors) / alexnet_errors()[name]


def mean_corruption_error(errors: Mapping[str, Sequence[float]]) -> float:
    """mCE: the mean of the 15 corruption errors.

    Raises:
        ValueError: other than the 15 corruptions, or other than five errors of one.
    """
    if errors.keys() != alexnet_errors().keys():
        raise ValueError(f"the mean is over {' '.join(alexnet_errors())}")
    return fmean(corruption_error(name, of_severities) for name, of_severities in errors.items())

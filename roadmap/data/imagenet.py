"""The classes of ImageNet-1K, and the classes of its validation images, which come without folders.

The wnid is the name of a class in WordNet; sorted wnids are the numbers 0 to 999 of every published network.
"""

import csv
import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from roadmap.config.conf import reference
from roadmap.data.datasets import WNID
from roadmap.errors import DataError, first_names, require_plain_name, shortage

DEVKIT, SOLUTION = "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv"
IMAGE = re.compile(r"ILSVRC2012_val_[0-9]{8}")
SAME = 900  # of 1000 names that are to be the descriptions of the wnids in their order


@cache
def wnids() -> list[str]:
    """The wnids of the 1000 classes by number."""
    return [row["wnid"] for row in reference("imagenet_classes")]


def require_wnids(where: object, names: Sequence[str]) -> None:
    """A DataError unless classes are named by wnid, a thousand of them as those of ImageNet-1K."""
    if strange := [name for name in names if not WNID.fullmatch(name)]:
        raise DataError(
            f"{where}: not names of ImageNet's classes (wnid, n and eight digits): {first_names(strange)}\n"
            "rename folders: row N of roadmap/reference/imagenet_classes.csv has the wnid of a class N of 0 to 999; "
            "other images than ImageNet's are data=imagefolder"
        )
    if len(names) == len(wnids()) and (strange := sorted({*names} - {*wnids()})):
        raise DataError(f"{where}: not among ImageNet-1K's 1000 classes: {first_names(strange)}")


def wnids_of(names: Sequence[str]) -> Sequence[str]:
    """The wnids of classes that may be named by their synonyms, as in Hugging Face's tables; else the names themselves.

    Some synonyms stand for two classes and are spelled differently everywhere, so most names decide.
    """
    if len(names) != len(wnids()) or any(map(WNID.fullmatch, names)):
        return names
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    same = sum(name == info.index_to_description(number) for number, name in enumerate(names))
    return wnids() if same >= SAME else names


def validation_classes(root: Path) -> dict[str, str]:
    """The wnid of each validation image by the name of its file, from Kaggle's table or from the devkit.

    A DataError if neither is there or the one there cannot be read.
    """
    found = classes_file(root)
    if found is None:
        raise DataError(f"{root / DEVKIT} is needed, or {SOLUTION}: it knows the classes of the validation images")
    classes = _solution(found) if found.name == SOLUTION else _devkit(found)
    for wnid in {*classes.values()}:
        require_plain_name(f"{found}: wnid", wnid, pattern=WNID, allowed="n and eight digits")
    return {f"{image}.JPEG": wnid for image, wnid in sorted(classes.items())}


def classes_file(root: Path) -> Path | None:
    """The devkit, or the table, which Kaggle has three folders above the images; None if neither is there."""
    above = [*root.resolve().parents][:3]
    places = [root / DEVKIT, *(folder / SOLUTION for folder in (root, root / "val", *above))]
    return next((path for path in places if path.is_file()), None)


def flat_images(root: Path) -> dict[str, Path]:
    """The validation images side by side in a folder, by name."""
    places = (root / "val", root / "ILSVRC2012_img_val", root)
    return {path.name: path for place in places for path in place.glob("ILSVRC2012_val_*.JPEG")}


def refuse_missing(where: Path, there: Mapping[str, object], wanted: Mapping[str, str]) -> None:
    """A DataError if a validation image is missing."""
    if absent := [name for name in wanted if name not in there]:
        raise DataError(f"{where}: {absent[0]} is not there ({len(absent):,} of {len(wanted):,} are not)")


def _solution(path: Path) -> dict[str, str]:
    """Rows of an image and its boxes; each box begins with the wnid."""
    try:
        with path.open(newline="") as stream:
            classes = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(stream)}
    except (OSError, csv.Error, ValueError, LookupError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: columns ImageId and PredictionString are needed: {error}") from error
    for image in classes:
        require_plain_name(f"{path}: ImageId", image, pattern=IMAGE, allowed="ILSVRC2012_val_ and eight digits")
    return classes


def _devkit(path: Path) -> dict[str, str]:
    """The ground truth in the order of the images' numbers. torchvision reads it beside the published archives only."""
    from scipy.io import loadmat

    try:
        with tarfile.open(path, "r:gz") as tar:
            files = {"/".join(PurePosixPath(member.name).parts[-2:]): member for member in tar if member.isreg()}
            names = ("data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt")
            meta, truth = (tar.extractfile(files[name]).read() for name in names)  # type: ignore[union-attr]
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        leaves = {int(each["ILSVRC2012_ID"]): str(each["WNID"]) for each in synsets if each["num_children"] == 0}
        return {f"ILSVRC2012_val_{n:08d}": leaves[int(number)] for n, number in enumerate(truth.split(), start=1)}
    except Exception as error:  # scipy fails on a damaged file in many ways
        if shortage(error):
            raise
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error

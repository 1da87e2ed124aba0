"""The devkit of ImageNet-1K: which class each validation image has; no torch.

torchvision reads it too, but only beside archives of the published checksums, and into a file of torch.
"""

import io
import tarfile
import zlib
from pathlib import Path

from roadmap.errors import DataError

DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"


def validation_wnids(path: Path) -> list[str]:
    """The class of each validation image, by its number less one.

    Raises:
        DataError: the devkit is missing or damaged.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path} is needed: it knows the classes of the validation images")
    try:
        with tarfile.open(path, "r:gz") as tar:
            names = tar.getnames()
            meta, truth = (_content(tar, names, ending) for ending in (META, TRUTH))
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        leaves = {int(each["ILSVRC2012_ID"]): str(each["WNID"]) for each in synsets if each["num_children"] == 0}
        return [leaves[int(number)] for number in truth.split()]
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def _content(tar: tarfile.TarFile, names: list[str], ending: str) -> bytes:
    name = next((name for name in names if name.endswith(ending)), ending)
    stream = tar.extractfile(name)
    return b"" if stream is None else stream.read()

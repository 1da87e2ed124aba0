"""Images as files, a folder a class: which there are; no torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from roadmap.config.checks import class_folders
from roadmap.config.schema import DataConfig, Dataset
from roadmap.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of image files, as torchvision has them."""


def image_paths(folder: str) -> Iterator[str]:
    """Paths of the image files below a folder, in torchvision's order, through links too; none without the folder.

    Raises:
        DataError: a folder cannot be looked into; its images would be missed without a word.
    """
    for at, _, names in sorted(os.walk(folder, followlinks=True, onerror=_refuse)):
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS):
                yield os.path.join(at, name)  # noqa: PTH118 (a million times)


def image_files(folder: Path) -> Iterator[Path]:
    """`image_paths`, relative to the folder."""
    return (Path(path).relative_to(folder) for path in image_paths(str(folder)))


def counted(data: DataConfig) -> tuple[int, int] | None:
    """Image files for training and for the test; None where they are not folders, or not there.

    Raises:
        DataError: a folder cannot be looked into.
    """
    parts = [Path(data.root).expanduser() / part for part in ("train", "val")]
    if data.name is not Dataset.imagefolder or not all(class_folders(part) for part in parts):
        return None
    train, val = (sum(1 for name in class_folders(part) for _ in image_paths(str(part / name))) for part in parts)
    return train, val


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise DataError(f"{error.filename}: {error.strerror}") from error

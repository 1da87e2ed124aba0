"""Images as files in a folder per class. Imports no torch until images are listed for training."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from roadmap.config.schema import DataConfig
from roadmap.data.datasets import class_folders, dataset
from roadmap.data.records import Records
from roadmap.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of image files, as in torchvision."""


@dataclass(frozen=True, kw_only=True)
class Folders(Records):
    """The images of where/<class>/ in the order of their paths."""

    paths: list[str]

    def name(self, i: int) -> str:
        return self.paths[i]

    def relative_names(self) -> Iterable[str]:
        return (path[len(self.where) + 1 :] for path in self.paths)

    def read(self, i: int) -> bytes:
        return Path(self.paths[i]).read_bytes()

    def unused(self) -> list[str]:
        """Files that are not images by their name, or are in no class folder."""
        tree = os.walk(self.where, followlinks=True)
        return sorted({str(Path(at) / name) for at, _, names in tree for name in names} - {*self.paths})


def find(data: DataConfig, part: str) -> Folders:
    """`records.find`, in torchvision's order; a DataError if a folder cannot be listed."""
    folder = Path(data.root).expanduser() / part
    names = class_folders(folder)
    if not names:
        raise DataError(f"{folder}: a folder of images for every class is needed")
    return list_classes(folder, {name: label for label, name in enumerate(names)}, classes=names)


def list_classes(where: Path, labels: Mapping[str, int], *, classes: list[str]) -> Folders:
    """The images in the folders of `labels`, sorted by folder and path."""
    import torch

    found = {name: [*image_paths(where / name)] for name in sorted(labels)}
    return Folders(
        where=str(where),
        paths=[path for paths in found.values() for path in paths],
        labels=torch.tensor([labels[name] for name, paths in found.items() for _ in paths], dtype=torch.int64),
        classes=classes,
        errors=[f"{where / name}: no images" for name, paths in found.items() if not paths],
    )


def image_paths(folder: Path) -> Iterator[str]:
    """Paths of the image files below a folder in torchvision's order, following links; none without the folder.

    A folder that cannot be listed raises a DataError: its images would be missed silently.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise DataError(f"{error.filename}: {error.strerror}") from error

    for at, _, names in sorted(os.walk(folder, followlinks=True, onerror=refuse)):
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS):
                yield os.path.join(at, name)  # noqa: PTH118 (a million times)


def count_images(data: DataConfig) -> tuple[int, int] | None:
    """Image files for training and for testing; None for data sets of known size, other readers or missing folders."""
    entry, parts = dataset(data.name), [Path(data.root).expanduser() / part for part in ("train", "val")]
    if entry.reader != "folders" or any(entry.images) or not all(class_folders(part) for part in parts):
        return None
    train, val = (sum(1 for name in class_folders(part) for _ in image_paths(part / name)) for part in parts)
    return train, val

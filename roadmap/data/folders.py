"""Images as files, a folder a class."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from roadmap.config.checks import class_folders
from roadmap.config.schema import DataConfig
from roadmap.data.trees import image_paths
from roadmap.errors import DataError


@dataclass(frozen=True)
class Folders:
    """The images of root/<part>/<class>/ in the order of their paths; see `records.Records`."""

    where: str
    paths: list[str]
    labels: Tensor
    classes: list[str]
    troubles: list[str]

    def name(self, place: int) -> str:
        """Its path."""
        return self.paths[place]

    def bare_names(self) -> Iterable[str]:
        """Paths below the part."""
        return (path[len(self.where) + 1 :] for path in self.paths)

    def read(self, place: int) -> bytes:
        """The file."""
        return Path(self.paths[place]).read_bytes()

    def unused(self) -> list[str]:
        """Files that are no image by their name, or lie in no folder of a class."""
        tree = os.walk(self.where, followlinks=True)
        return sorted({str(Path(at) / name) for at, _, names in tree for name in names} - {*self.paths})


def find(data: DataConfig, part: str) -> Folders:
    """The images of a part, in torchvision's order.

    Raises:
        DataError: there are no folders, or one cannot be looked into.
    """
    folder = Path(data.root).expanduser() / part
    names = class_folders(folder)
    if not names:
        raise DataError(f"{folder}: a folder of images for every class is needed")
    found = [[*image_paths(str(folder / name))] for name in names]
    return Folders(
        where=str(folder),
        paths=[path for paths in found for path in paths],
        labels=torch.tensor([label for label, paths in enumerate(found) for _ in paths], dtype=torch.int64),
        classes=names,
        troubles=[f"{folder / name}: no images" for name, paths in zip(names, found, strict=True) if not paths],
    )


def classes(data: DataConfig, part: str) -> list[str]:
    """The folders of a part, sorted; none where there is no such part."""
    return class_folders(Path(data.root).expanduser() / part)

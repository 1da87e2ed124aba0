"""Images as files, a folder a class."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import ImageFolder

from roadmap.data.sources import DataError
from roadmap.schema import DataConfig


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
        DataError: there are no folders.
    """
    folder = Path(data.root).expanduser() / part
    try:
        found = ImageFolder(str(folder), allow_empty=True)
    except OSError as error:
        raise DataError(f"{folder}: a folder of images for every class is needed: {error}") from error
    filled = {label for _, label in found.samples}
    return Folders(
        where=str(folder),
        paths=[path for path, _ in found.samples],
        labels=torch.tensor([label for _, label in found.samples], dtype=torch.int64),
        classes=found.classes,
        troubles=[f"{folder / name}: no images" for name, label in found.class_to_idx.items() if label not in filled],
    )


def classes(data: DataConfig, part: str) -> list[str]:
    """The folders of a part, sorted; none where there is no such part."""
    return sorted(path.name for path in (Path(data.root).expanduser() / part).glob("*/") if path.is_dir())

"""Encoded images, wherever they lie: how many, of which classes, what each is called, and its bytes."""

import importlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from roadmap.errors import DataError

PARTS = {"train": "train(ing)?", "val": "val(id(ation)?)?"}
"""The parts of a data set, and how the names of their files tell."""


class Records(Protocol):
    """N encoded images of one part; travels to worker processes, and opens its files there."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes in the order of their labels; empty where a class is but a number."""

    @property
    def where(self) -> str:
        """The place of them all, for messages."""

    @property
    def troubles(self) -> Sequence[str]:
        """What is wrong with the part before any image is looked at; nothing is trained with such a part."""

    def name(self, place: int) -> str:
        """What the image at a place is called: enough to find it."""

    def bare_names(self) -> Iterable[str]:
        """What the images are called, in their order, wherever the files lie."""

    def read(self, place: int) -> bytes:
        """The image at a place, encoded."""

    def unused(self) -> Sequence[str]:
        """Files beside them that are not used."""


def opened(encoded: bytes) -> Image.Image:
    """An image, not yet decoded.

    Raises:
        Exception: whatever Pillow raises for it; see `reason`.
    """
    return Image.open(io.BytesIO(encoded))


def reason(error: Exception) -> str:
    """Why an image cannot be read, without what changes from run to run."""
    return "cannot be read: " + (
        "cannot identify image file" if isinstance(error, UnidentifiedImageError) else f"{error}"
    )


def files_of(root: Path, part: str, suffix: str) -> list[Path]:
    """The files `*.suffix` in root and in its folders whose name or folder tells that they belong to a part, sorted."""
    word = re.compile(rf"(?<![a-z]){PARTS[part]}(?![a-z])")
    return [path for path in every_file(root, suffix) if word.search(str(path.relative_to(root)).lower())]


def every_file(root: Path, suffix: str) -> list[Path]:
    """The files `*.suffix` in root and in its folders, sorted."""
    found = [path for pattern in (f"*.{suffix}", f"*/*.{suffix}") for path in root.glob(pattern)]
    return sorted(path for path in found if not path.name.startswith("."))


def library(name: str, source: str) -> ModuleType:
    """A library that only one source needs.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = "pip install 'convnet-roadmap[shards]', or -e '.[shards]' in this directory"
        raise DataError(f"data={source} needs the library {name}: {remedy} ({error})") from error

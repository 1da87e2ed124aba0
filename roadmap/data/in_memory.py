"""Small data sets held in memory as tensors: those of torchvision, and image files that are decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.datasets import dataset
from roadmap.data.decoding import open_image
from roadmap.data.fetch import damaged_files, torchvision_class
from roadmap.data.records import source_part
from roadmap.data.subset import subset
from roadmap.errors import DataError, require

if TYPE_CHECKING:
    from roadmap.data.image_files import ImageFiles
    from roadmap.data.records import Records


@dataclass(frozen=True)
class Images:
    """Images (N, C, H, W) uint8 and labels (N,) int64 on one device; used like `image_files.ImageFiles`."""

    images: Tensor
    labels: Tensor
    classes: Sequence[str] = ()  # names by label, as far as the files tell
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()
    records: Records | None = None  # of image files

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    @property
    def shape(self) -> torch.Size:
        return self.images.shape

    @property
    def device(self) -> torch.device:
        return self.images.device

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) uint8 and labels (B,) at each of the indices (B,); the seed is not used."""
        for index in indices:
            own = index.to(self.device)
            yield self.images.index_select(0, own), self.labels.index_select(0, own)

    def batch_recipe(self, recipe: RecipeConfig) -> RecipeConfig:
        """The whole recipe, since nothing is done image by image."""
        return recipe


def load(data: DataConfig, *, train: bool) -> Images:
    """The first data.max_train or max_test images of the subset, `fitted`."""
    root = Path(data.root).expanduser()
    read = _read_idx if dataset(data.name).sha256 else _read_by_torchvision
    images, labels, classes = read(data.name, root, source_part(data, train=train) == "train")
    limit = data.max_train if train else data.max_test
    chosen = subset(labels, data, train=train)[:limit]
    images, labels = images[chosen], labels[chosen]
    return Images(fitted(images, data), labels, classes)


def decoded(files: ImageFiles, data: DataConfig) -> Images:
    """Image files decoded once, by the workers, and `fitted`.

    A DataError if one cannot be read or has another size than the first.
    """
    from torchvision.transforms.functional import pil_to_tensor

    whole = replace(files, pipeline=pil_to_tensor)
    try:
        ((images, labels),) = whole.batches([torch.arange(len(files))], seed=0)
    except RuntimeError as error:  # images of two sizes cannot be stacked
        _refuse_sizes(files)
        raise error
    return Images(fitted(images, data), labels, files.classes, notes=files.notes, records=files.records)


def _refuse_sizes(files: ImageFiles) -> None:
    """Refuse the first image that has another size than the one before it."""
    first = None
    for chosen in files.chosen.tolist():
        with suppress(Exception), open_image(files.records.read(chosen)) as image:  # Pillow raises nearly any type
            size = image.size
        first = first or size
        if size != first:
            other, (width, height) = files.records.name(chosen), size
            raise DataError(
                f"{other}: {width}x{height} pixels, others {first[0]}x{first[1]}: data.in_memory=false takes any sizes"
            )


def fitted(images: Tensor, data: DataConfig) -> Tensor:
    """Images (N, C, H, W) uint8 scaled to data.resize, then with zeros on all sides up to data.img_size.

    Scaled as by Pillow's bicubic filter, within one grey level. A ConfigError if they are larger than data.img_size.
    """
    if data.resize:
        images = F.interpolate(images, size=(data.resize, data.resize), mode="bicubic", antialias=True)
    (height, width), size = images.shape[2:], data.img_size
    require(size >= max(height, width), "data.img_size", size, f"{max(height, width)} or more")
    top, left = (size - height) // 2, (size - width) // 2
    return F.pad(images, (left, size - width - left, top, size - height - top)).contiguous()


def _read_by_torchvision(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor, Sequence[str]]:
    try:
        found = torchvision_class(name)(root, train=train, download=False)
    except RuntimeError as error:
        raise DataError(f"{name} is missing or damaged in {root}: run `make data`") from error
    pixels = torch.as_tensor(found.data)
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return images, torch.as_tensor(found.targets, dtype=torch.int64), found.classes


def _read_idx(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor, Sequence[str]]:
    """Pixels and labels from two files in MNIST's format: the number of dimensions, their sizes, then bytes."""
    prefix = "train-" if train else "t10k-"
    if damaged := damaged_files(name, root, prefix):
        raise DataError(f"{', '.join(map(str, damaged))} missing or damaged: run `make data`")
    paths = sorted(root / path for path in dataset(name).sha256 if Path(path).name.startswith(prefix))
    images, labels = (torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in paths)
    height, width = (int.from_bytes(bytes(images[at : at + 4].tolist())) for at in (8, 12))
    return images[16:].view(-1, 1, height, width), labels[8:].long(), dataset(name).names

"""Small data sets as tensors in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.fetch import FASHION_MNIST, TORCHVISION, damaged_fashion_mnist
from roadmap.errors import DataError, require


@dataclass(frozen=True)
class Images:
    """Images (N, C, H, W) uint8 and labels (N,) int64, on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Images":
        """The same on another device."""
        return Images(self.images.to(device), self.labels.to(device))

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return self.images.shape

    @property
    def device(self) -> torch.device:
        """Where they lie."""
        return self.images.device

    @property
    def skipped(self) -> Sequence[str]:
        """None ever."""
        return ()

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) uint8 and labels (B,) at each of the indices (B,), whatever the seed."""
        for index in indices:
            place = index.to(self.device)
            yield self.images.index_select(0, place), self.labels.index_select(0, place)

    def left(self, recipe: RecipeConfig) -> RecipeConfig:
        """The whole recipe.

        Raises:
            ConfigError: it has RandAugment.
        """
        aa = recipe.aa
        require(aa == "none", "recipe.aa", aa, "none for data held in memory: RandAugment works image by image")
        return recipe


def load(data: DataConfig, train: bool) -> Images:
    """The first data.max_train or max_test images, padded with zeros on all sides to data.img_size.

    Raises:
        DataError: files are missing or damaged.
        ConfigError: the images are larger than data.img_size, or have other channels or more classes.
    """
    images, labels = _read(data.name.value, Path(data.root).expanduser(), train)
    limit = data.max_train if train else data.max_test
    images, labels = images[:limit], labels[:limit]
    channels, height, width = images.shape[1:]
    classes = int(labels.max()) + 1
    require(data.img_size >= max(height, width), "data.img_size", data.img_size, f"{max(height, width)} or more")
    require(data.in_chans == channels, "data.in_chans", data.in_chans, f"{channels} for {data.name.value}")
    require(data.num_classes >= classes, "data.num_classes", data.num_classes, f"{classes} or more")
    return Images(_pad(images, data.img_size), labels)


def _read(name: str, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """All images (N, C, H, W) uint8 and labels (N,) int64, checked."""
    if name == "fashion_mnist":
        return _read_fashion_mnist(root, "train" if train else "t10k")
    import torchvision  # more than a second of import, for those who need it

    try:
        dataset = getattr(torchvision.datasets, TORCHVISION[name])(root, train=train, download=False)
    except RuntimeError as error:
        raise DataError(f"{name} is missing or damaged in {root}: run `make data`") from error
    return torch.as_tensor(dataset.data).permute(0, 3, 1, 2), torch.as_tensor(dataset.targets, dtype=torch.int64)


def _read_fashion_mnist(root: Path, part: str) -> tuple[Tensor, Tensor]:
    """Two files of known content: after 16 and after 8 bytes, nothing but pixels and labels."""
    if damaged := damaged_fashion_mnist(root, part):
        raise DataError(f"{', '.join(map(str, damaged))} missing or damaged: run `make data`")
    files = [root / FASHION_MNIST / f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    images, labels = (torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in files)
    return images[16:].view(-1, 1, 28, 28), labels[8:].long()


def _pad(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[2:]
    top, left = (size - height) // 2, (size - width) // 2
    return F.pad(images, (left, size - width - left, top, size - height - top)).contiguous()

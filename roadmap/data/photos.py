"""Data sets of image files: decoded, cropped and augmented one by one, on worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

from roadmap.checks import require
from roadmap.data.pil import Pipeline, eval_pipeline, seeded, train_pipeline
from roadmap.data.randomness import mix
from roadmap.data.sources import DataError
from roadmap.schema import DataConfig, RecipeConfig

CPU = torch.device("cpu")
PARTS = {True: "train", False: "val"}


@dataclass(frozen=True)
class Photos:
    """N image files, their labels (N,) int64, and what makes a tensor of one; batches appear on one device."""

    paths: Sequence[str]
    labels: Tensor
    pipeline: Pipeline
    shape: torch.Size
    """(N, C, H, W) of all that come out of the pipeline."""
    workers: int = 0
    """Processes that decode; 0: this one."""
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device) -> "Photos":
        """The same for another device."""
        return replace(self, device=device)

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) uint8 and labels (B,) at each of the indices (B,), whatever the number of workers.

        Raises:
            DataError: naming a file that cannot be read.
        """
        cuda = self.device.type == "cuda"
        loader = DataLoader(
            Files(self.paths, self.pipeline, seed),
            batch_sampler=[index.tolist() for index in indices],
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=cuda,
            generator=torch.Generator(),  # or it would draw from the process's own
        )
        for index, images in zip(indices, loader, strict=True):
            if isinstance(images, str):
                raise DataError(images)
            yield images.to(self.device, non_blocking=cuda), self.labels[index].to(self.device)

    def left(self, recipe: RecipeConfig) -> RecipeConfig:
        """The recipe without crop, flip and RandAugment, which the pipeline has done."""
        return replace(recipe, hflip=0.0, scale=[1.0, 1.0], ratio=[1.0, 1.0], aa="none")


class Files(Dataset[Tensor | str]):
    """Image files through a pipeline; what comes of one depends on the seed and its place alone."""

    def __init__(self, paths: Sequence[str], pipeline: Pipeline, seed: int) -> None:
        self.paths, self.pipeline, self.seed = paths, pipeline, seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """(C, H, W) uint8, or in words why there is none."""
        path = self.paths[index]
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{path}: cannot be read: {error}"
        with seeded(mix(self.seed, index)):
            return torch.as_tensor(self.pipeline(image))


def load(data: DataConfig, recipe: RecipeConfig, *, train: bool, workers: int = 0) -> Photos:
    """The images of root/train or root/val, a folder a class; max_train and max_test take them evenly spread.

    Raises:
        DataError: no such folder, a class without images, or other classes in val than in train.
        ConfigError: other than data.num_classes classes.
    """
    folder = Path(data.root).expanduser() / PARTS[train]
    try:
        found = ImageFolder(str(folder))
    except (OSError, RuntimeError) as error:
        raise DataError(f"{folder}: a folder of images for every class is needed: {error}") from error
    if not train and found.classes != _classes(folder.parent / PARTS[True]):
        raise DataError(f"{folder}: its folders are not those of {folder.parent / PARTS[True]}")
    classes = len(found.classes)
    require(data.num_classes == classes, "data.num_classes", data.num_classes, f"{classes}, the folders in {folder}")
    n = len(found.samples)
    count = min(n, (data.max_train if train else data.max_test) or n)
    chosen = [found.samples[i * n // count] for i in range(count)]
    return Photos(
        paths=[path for path, _ in chosen],
        labels=torch.tensor([label for _, label in chosen]),
        pipeline=train_pipeline(recipe, data) if train else eval_pipeline(recipe, data),
        shape=torch.Size((count, data.in_chans, data.img_size, data.img_size)),
        workers=workers,
    )


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/")) if folder.is_dir() else []


def _collate(items: list[Tensor | str]) -> Tensor | str:
    for item in items:
        if isinstance(item, str):
            return item
    return torch.stack([item for item in items if isinstance(item, Tensor)])

"""Data sets of image files: decoded, cropped and augmented one by one, on worker processes."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

from roadmap.checks import require
from roadmap.data.pil import Pipeline, eval_pipeline, seeded, train_pipeline
from roadmap.data.randomness import mix
from roadmap.data.sources import DataError
from roadmap.schema import DataConfig, OnError, RecipeConfig

CPU = torch.device("cpu")
PARTS = {True: "train", False: "val"}
PIECE = 64
"""Images that a worker hands over at a time, whatever the batch."""
TRIES = 100
"""Files in a row that may be skipped."""


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
    skip: bool = False
    """Whether the next file takes the place of one that cannot be read."""
    skipped: list[str] = field(default_factory=list)
    """Files that were skipped in the batches so far, as often as they were."""
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
            Files(self, seed),
            batch_sampler=[piece.tolist() for index in indices for piece in index.split(PIECE)],
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_outlive_signals,
            pin_memory=cuda,
            generator=torch.Generator(),  # or it would draw from the process's own
        )
        pieces = iter(loader)
        for index in indices:
            parts = [self._checked(next(pieces)) for _ in index.split(PIECE)]
            images, places = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
            yield images.to(self.device, non_blocking=cuda), self.labels[places].to(self.device)

    def _checked(self, loaded: "Loaded") -> tuple[Tensor, Tensor]:
        images, places, unreadable = loaded
        if unreadable and not self.skip:
            raise DataError(unreadable[0])
        if len(images) < len(places):
            raise DataError(f"{unreadable[0]}, and neither can the files after it")
        self.skipped.extend(unreadable)
        return images, places

    def left(self, recipe: RecipeConfig) -> RecipeConfig:
        """The recipe without crop, flip and RandAugment, which the pipeline has done."""
        return replace(recipe, hflip=0.0, scale=[1.0, 1.0], ratio=[1.0, 1.0], aa="none")


def _outlive_signals(_worker: int) -> None:
    """A scheduler's SIGTERM reaches all processes of a job: the first of them still has its step to finish."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


Loaded = tuple[Tensor, Tensor, list[str]]


class Item(NamedTuple):
    """What comes of one place in the order of an epoch."""

    image: Tensor | None
    """(C, H, W) uint8."""
    place: int
    """Of the file it was made from."""
    unreadable: list[str]
    """Files before it that cannot be read, and why."""


class Files(Dataset[Item]):
    """Image files through a pipeline; what comes of one depends on the seed and its place alone."""

    def __init__(self, photos: Photos, seed: int) -> None:
        self.paths, self.pipeline, self.seed = photos.paths, photos.pipeline, seed
        self.tries = min(TRIES, len(photos)) if photos.skip else 1

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        """The image at a place, or the next that can be read."""
        unreadable = []
        for place in range(index, index + self.tries):
            path = self.paths[place % len(self)]
            try:
                with Image.open(path) as opened:
                    image = opened.convert("RGB")
            except Exception as error:  # Pillow's decoders raise nearly anything; every one of them is the file's
                unreadable.append(f"{path}: cannot be read: {error}")
                continue
            with seeded(mix(self.seed, index)):
                return Item(torch.as_tensor(self.pipeline(image)), place % len(self), unreadable)
        return Item(None, index, unreadable)


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
        skip=train and data.on_error is OnError.skip,
    )


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/")) if folder.is_dir() else []


def _collate(items: list[Item]) -> Loaded:
    """Images (B, C, H, W), their places (B,), and what could not be read."""
    images = [item.image for item in items if item.image is not None]
    unreadable = [line for item in items for line in item.unreadable]
    places = torch.tensor([item.place for item in items])
    return torch.stack(images) if images else torch.empty(0), places, unreadable

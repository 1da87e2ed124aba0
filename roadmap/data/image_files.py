"""Photographs: decoded, cropped and augmented one by one, on worker processes, wherever they lie."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from roadmap.config.schema import DataConfig, OnError, RecipeConfig
from roadmap.data import datasets as catalog
from roadmap.data.image_transforms import Pipeline, eval_pipeline, preserved, reseed, train_pipeline
from roadmap.data.records import Records, opened, reason
from roadmap.data.rng import mix
from roadmap.errors import DataError

CPU = torch.device("cpu")
PARTS = {True: "train", False: "val"}
PIECE = 64
"""Images that a worker hands over at a time, whatever the batch."""
TRIES = 100
"""Images in a row that may be skipped."""


@dataclass(frozen=True)
class Photos:
    """N of some encoded images, and what makes a tensor of one; batches appear on one device."""

    records: Records
    chosen: Tensor
    """(N,) int64: places in the records."""
    pipeline: Pipeline
    shape: torch.Size
    """(N, C, H, W) of all that come out of the pipeline."""
    workers: int = 0
    """Processes that decode; 0: this one."""
    skip: bool = False
    """Whether the next image takes the place of one that cannot be read."""
    skipped: list[str] = field(default_factory=list)
    """Images that were skipped in the batches so far, as often as they were."""
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self.records.labels[self.chosen]

    def to(self, device: torch.device) -> "Photos":
        """The same for another device."""
        return replace(self, device=device)

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) uint8 and labels (B,) at each of the indices (B,), whatever the number of workers.

        Raises:
            DataError: naming an image that cannot be read.
        """
        loader = DataLoader(
            Files(self, seed),
            batch_sampler=[piece.tolist() for index in indices for piece in index.split(PIECE)],
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_outlive_signals,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or it would draw from the process's own
        )
        pieces, labels = iter(loader), self.labels
        for index in indices:
            parts = [self._checked(next(pieces)) for _ in index.split(PIECE)]
            images, places = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
            yield images, labels[places].to(self.device)

    def _checked(self, loaded: "Loaded") -> tuple[Tensor, Tensor]:
        images, places, unreadable = loaded
        if unreadable and not self.skip:
            raise DataError(unreadable[0])
        if len(images) < len(places):
            raise DataError(f"{unreadable[0]}, and neither can those after it")
        self.skipped.extend(unreadable)
        return images.to(self.device, non_blocking=self.device.type == "cuda"), places

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
    """Of the image it was made from."""
    unreadable: list[str]
    """Images before it that cannot be read, and why."""


class Files(Dataset[Item]):
    """Encoded images through a pipeline; what comes of one depends on the seed and its place alone."""

    def __init__(self, photos: Photos, seed: int) -> None:
        self.records, self.chosen, self.pipeline, self.seed = photos.records, photos.chosen, photos.pipeline, seed
        self.tries = min(TRIES, len(photos)) if photos.skip else 1

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, indices: list[int]) -> list[Item]:
        """The images at some places; the process's generators are put back once for all of them."""
        with preserved():
            return [self._made(index) for index in indices]

    def _made(self, index: int) -> Item:
        """The image at a place, or the next that can be read."""
        unreadable = []
        for place in range(index, index + self.tries):
            chosen = int(self.chosen[place % len(self)])
            try:
                with opened(self.records.read(chosen)) as image_file:
                    image = image_file.convert("RGB")
            except Exception as error:  # Pillow's decoders raise nearly anything; every one of them is the image's
                unreadable.append(f"{self.records.name(chosen)}: {reason(error)}")
                continue
            reseed(mix(self.seed, index))
            return Item(torch.as_tensor(self.pipeline(image)), place % len(self), unreadable)
        return Item(None, index, unreadable)


def load(data: DataConfig, recipe: RecipeConfig, *, train: bool, workers: int = 0) -> Photos:
    """The images of a part, from wherever data.name says; max_train and max_test take them evenly spread.

    Raises:
        DataError: there are none, something is wrong with the part as a whole, or val has other classes than train.
        ConfigError: other than data.num_classes classes.
    """
    records = catalog.find(data, PARTS[train])
    catalog.check(records, data, train=train)
    n = len(records.labels)
    count = min(n, (data.max_train if train else data.max_test) or n)
    return Photos(
        records=records,
        chosen=torch.arange(count) * n // count,
        pipeline=train_pipeline(recipe, data) if train else eval_pipeline(recipe, data),
        shape=torch.Size((count, data.in_chans, data.img_size, data.img_size)),
        workers=workers,
        skip=train and data.on_error is OnError.skip,
    )


def _collate(items: list[Item]) -> Loaded:
    """Images (B, C, H, W), their places (B,), and what could not be read."""
    images = [item.image for item in items if item.image is not None]
    unreadable = [line for item in items for line in item.unreadable]
    places = torch.tensor([item.place for item in items])
    return _stacked(images) if images else torch.empty(0), places, unreadable


def _stacked(images: list[Tensor]) -> Tensor:
    """(B, C, H, W), channels last in memory, as Pillow has them: whole images are copied, not planes."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)

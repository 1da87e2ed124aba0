"""The batches of an epoch: shuffled, augmented and mixed for training, plain for evaluation.

All of it is a function of (seed, epoch, index) and (seed, step): an epoch can be entered at any batch.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from roadmap.checks import require
from roadmap.data.randomness import Stream, epoch_order, mix, numpy_seeded
from roadmap.data.transforms import augment, draw, normalize
from roadmap.schema import DataConfig, RecipeConfig

if TYPE_CHECKING:
    from timm.data import Mixup

Batch = tuple[Tensor, Tensor]


class Part(Protocol):
    """A part of a data set: `memory.Images`, or `photos.Photos`."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> "Part":
        """The same with its batches on another device."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    @property
    def device(self) -> torch.device:
        """Where batches appear."""

    @property
    def skipped(self) -> Sequence[str]:
        """What could not be read and was skipped in the batches so far."""

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[Batch]:
        """Images (B, C, H, W) uint8 and labels (B,), on their device, at each of the indices (B,)."""

    def left(self, recipe: RecipeConfig) -> RecipeConfig:
        """The recipe without what is done to single images already when a batch is there."""


def batches_per_epoch(images: Part, recipe: RecipeConfig) -> int:
    """Whole batches in an epoch; a rest is left out, another one every epoch.

    Raises:
        ConfigError: there are fewer images than a batch has.
    """
    size, n = recipe.batch_size, len(images)
    require(size <= n, "recipe.batch_size", size, f"up to {n}, the training images")
    return n // size


def epoch_batches(
    images: Part, recipe: RecipeConfig, data: DataConfig, *, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """The batches of an epoch from batch `start` on.

    Yields:
        Images (B, C, H, W) float32, channels last, and their targets: classes (B,) int64 or, with mixup or
        cutmix, shares of the classes (B, num_classes) float32, smoothed and mixed.

    Raises:
        ConfigError: at the call, for what images in memory cannot be trained with.
    """
    steps = range(start, batches_per_epoch(images, recipe))
    mixup = _mixup(recipe, data.num_classes)
    return _batches(images, images.left(recipe), data, seed=seed, epoch=epoch, steps=steps, mixup=mixup)


def evaluation_batches(images: Part, data: DataConfig, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, the last batch being what is left.

    Yields:
        Images (B, C, H, W) float32, channels last, and their classes (B,) int64.
    """
    for x, labels in images.batches(torch.arange(len(images)).split(batch_size), seed=0):
        yield _channels_last(normalize(x, data)), labels


def mixup_seed(seed: int, step: int) -> int:
    """What seeds numpy for the mixup or cutmix of a step; steps count on from epoch to epoch."""
    return mix(seed, step, Stream.mixup)


def _batches(
    images: Part,
    recipe: RecipeConfig,
    data: DataConfig,
    *,
    seed: int,
    epoch: int,
    steps: range,
    mixup: "Mixup | None",
) -> Iterator[Batch]:
    order = epoch_order(seed, epoch, len(images)).split(recipe.batch_size)[steps.start : steps.stop]
    draws = draw(recipe, images.shape, seed=seed, epoch=epoch, device=images.device)
    for step, index, (x, targets) in zip(steps, order, images.batches(order, seed=mix(seed, epoch)), strict=True):
        x = augment(x, index.to(x.device), draws, data=data)
        if mixup is not None:
            with numpy_seeded(mixup_seed(seed, epoch * steps.stop + step)):
                x, targets = mixup(x, targets)
        yield _channels_last(x), targets


def _mixup(recipe: RecipeConfig, num_classes: int) -> "Mixup | None":
    """timm's mixup and cutmix by batches, or None where the recipe has neither."""
    if recipe.mixup_prob == 0 or recipe.mixup == recipe.cutmix == 0:
        return None
    from timm.data import Mixup  # two seconds of import, for those who need it

    size = recipe.batch_size
    require(size % 2 == 0, "recipe.batch_size", size, "an even number with mixup or cutmix")
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob,
        mode="batch",
        label_smoothing=recipe.smoothing,
        num_classes=num_classes,
    )


def _channels_last(x: Tensor) -> Tensor:
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)
    # One channel is contiguous in any layout, so torch would leave the strides, by which convs choose theirs.
    return x.view(x.shape[0], *x.shape[2:], 1).permute(0, 3, 1, 2)

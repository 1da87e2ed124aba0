"""What an epoch's forward passes see: shuffled, augmented and mixed for training, plain for evaluation.

All of it is a function of (seed, epoch, index) and (seed, pass): an epoch can be entered at any step, and what a pass
sees does not depend on which process makes it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.batch_augment import augment, draw, normalize
from roadmap.data.rng import Stream, epoch_order, mix, numpy_seeded
from roadmap.errors import require

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


def passes_per_step(recipe: RecipeConfig) -> int:
    """Forward passes whose gradients make an optimizer step."""
    return recipe.batch_size // min(recipe.bn_batch_size, recipe.batch_size)


def epoch_passes(
    images: Part,
    recipe: RecipeConfig,
    data: DataConfig,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """What the forward passes of an epoch see, from optimizer step `start` on.

    Of the passes of every step, process `share[0]` of `share[1]` gets its neighbouring ones; they divide them evenly.

    Yields:
        Images (B, C, H, W) float32, channels last, and their targets: classes (B,) int64 or, with mixup or
        cutmix, shares of the classes (B, num_classes) float32, smoothed and mixed within the pass.

    Raises:
        ConfigError: at the call, for what images in memory cannot be trained with.
    """
    each, (rank, world) = passes_per_step(recipe), share
    own = range(rank * each // world, (rank + 1) * each // world)
    steps = batches_per_epoch(images, recipe)
    numbers = [step * each + place for step in range(start, steps) for place in own]
    mixup = _mixup(recipe, data.num_classes)
    left, first = images.left(recipe), epoch * steps * each
    return _passes(images, left, data, seed=seed, epoch=epoch, numbers=numbers, first=first, mixup=mixup)


def evaluation_batches(
    images: Part, data: DataConfig, batch_size: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """Every image once, in order, the last batch being what is left; process share[0] of share[1] has its part of them.

    Yields:
        Images (B, C, H, W) float32, channels last, and their classes (B,) int64.
    """
    rank, world = share
    for x, labels in images.batches(torch.arange(len(images)).split(batch_size)[rank::world], seed=0):
        yield channels_last(normalize(x, data)), labels


def mixup_seed(seed: int, number: int) -> int:
    """What seeds numpy for the mixup or cutmix of a forward pass; passes count on from epoch to epoch."""
    return mix(seed, number, Stream.mixup)


def _passes(
    images: Part,
    recipe: RecipeConfig,
    data: DataConfig,
    *,
    seed: int,
    epoch: int,
    numbers: Sequence[int],
    first: int,
    mixup: "Mixup | None",
) -> Iterator[Batch]:
    """The passes with these numbers, from 0 in the epoch, which itself begins with pass `first` of the run."""
    order = epoch_order(seed, epoch, len(images)).split(min(recipe.bn_batch_size, recipe.batch_size))
    draws = draw(recipe, images.shape, seed=seed, epoch=epoch, device=images.device)
    indices = [order[number] for number in numbers]
    for number, index, (x, targets) in zip(
        numbers, indices, images.batches(indices, seed=mix(seed, epoch)), strict=True
    ):
        x = augment(x, index.to(x.device), draws, data=data)
        if mixup is not None:
            with numpy_seeded(mixup_seed(seed, first + number)):
                x, targets = mixup(x, targets)
        yield channels_last(x), targets


def _mixup(recipe: RecipeConfig, num_classes: int) -> "Mixup | None":
    """timm's mixup and cutmix by batches, or None where the recipe has neither."""
    if recipe.mixup_prob == 0 or recipe.mixup == recipe.cutmix == 0:
        return None
    from timm.data import Mixup  # two seconds of import, for those who need it

    size, key = min((recipe.batch_size, "recipe.batch_size"), (recipe.bn_batch_size, "recipe.bn_batch_size"))
    require(size % 2 == 0, key, size, "an even number with mixup or cutmix")
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob,
        mode="batch",
        label_smoothing=recipe.smoothing,
        num_classes=num_classes,
    )


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W), with the channels of a pixel side by side in memory."""
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)
    # One channel is contiguous in any layout, so torch would leave the strides, by which convs choose theirs.
    return x.view(x.shape[0], *x.shape[2:], 1).permute(0, 3, 1, 2)

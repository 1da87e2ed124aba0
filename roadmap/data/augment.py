"""The batches of an epoch: shuffled, augmented and mixed for training, plain for evaluation.

All of it is a function of (seed, epoch, index) and (seed, step): an epoch can be entered at any batch.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from roadmap.checks import require
from roadmap.data.memory import Images
from roadmap.data.randomness import Stream, epoch_order, mix, numpy_seeded
from roadmap.data.transforms import augment, draw, normalize
from roadmap.schema import DataConfig, RecipeConfig

if TYPE_CHECKING:
    from timm.data import Mixup

Batch = tuple[Tensor, Tensor]


def batches_per_epoch(images: Images, recipe: RecipeConfig) -> int:
    """Whole batches in an epoch; a rest is left out, another one every epoch.

    Raises:
        ConfigError: there are fewer images than a batch has.
    """
    size, n = recipe.batch_size, len(images)
    require(size <= n, "recipe.batch_size", size, f"up to {n}, the training images")
    return n // size


def epoch_batches(
    images: Images, recipe: RecipeConfig, data: DataConfig, *, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """The batches of an epoch from batch `start` on.

    Yields:
        Images (B, C, H, W) float32, channels last, and their targets: classes (B,) int64 or, with mixup or
        cutmix, shares of the classes (B, num_classes) float32, smoothed and mixed.

    Raises:
        ConfigError: at the call, for what images in memory cannot be trained with.
    """
    count = batches_per_epoch(images, recipe)
    aa = recipe.aa
    require(aa == "none", "recipe.aa", aa, "none for data held in memory: RandAugment works image by image")
    mixup = _mixup(recipe, data.num_classes)
    return _batches(images, recipe, data, seed=seed, epoch=epoch, steps=range(start, count), mixup=mixup)


def evaluation_batches(images: Images, data: DataConfig, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, the last batch being what is left.

    Yields:
        Images (B, C, H, W) float32, channels last, and their classes (B,) int64.
    """
    for x, labels in zip(images.images.split(batch_size), images.labels.split(batch_size), strict=True):
        yield _channels_last(normalize(x, data)), labels


def mixup_seed(seed: int, step: int) -> int:
    """What seeds numpy for the mixup or cutmix of a step; steps count on from epoch to epoch."""
    return mix(seed, step, Stream.mixup)


def _batches(
    images: Images,
    recipe: RecipeConfig,
    data: DataConfig,
    *,
    seed: int,
    epoch: int,
    steps: range,
    mixup: "Mixup | None",
) -> Iterator[Batch]:
    device = images.images.device
    size = recipe.batch_size
    order = epoch_order(seed, epoch, len(images)).to(device)
    draws = draw(recipe, images.images.shape, seed=seed, epoch=epoch, device=device)
    for step in steps:
        index = order[step * size : (step + 1) * size]
        x, targets = augment(images.images, index, draws, data=data), images.labels[index]
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

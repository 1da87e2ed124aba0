"""Batches: shuffled, augmented and mixed for training, only normalized for evaluation.

Everything is a function of (seed, epoch, index) and, for mixup, of (seed, micro-batch), so an epoch can be entered at
any step and a batch does not depend on the process that makes it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from roadmap.config.length import micro_batches_per_step
from roadmap.config.schema import Config, DataConfig, RecipeConfig
from roadmap.data import in_memory
from roadmap.data.batch_augment import augment, draw, normalize
from roadmap.data.datasets import dataset
from roadmap.data.rng import Stream, epoch_order, mix, preserved, reseed
from roadmap.environment import cores
from roadmap.errors import require

if TYPE_CHECKING:
    from timm.data import Mixup

    from roadmap.data.image_files import ImageFiles
    from roadmap.data.in_memory import Images

Batch = tuple[Tensor, Tensor]
Share = tuple[int, int]  # number of a process, and how many there are
ALONE: Share = (0, 1)
Part: TypeAlias = "Images | ImageFiles"  # a part of a data set, training or test


def load(config: Config, *, train: bool, classes: Sequence[str] = ()) -> Part:
    """The images for training or for testing; a DataError if files are missing or damaged.

    To evaluate weights whose `classes` are known by name, labels of image files are the numbers of these.
    """
    data, entry = config.data, dataset(config.data.name)
    require(not (train and entry.test_only), "data", data.name, "a data set to train with: this one only tests")
    if entry.in_memory:
        return in_memory.load(data, train=train)
    from roadmap.data import image_files  # timm and torchvision take seconds to import

    workers = usable(config.training.workers)
    files = image_files.load(data, config.recipe, train=train, workers=workers, classes=classes)
    return in_memory.decoded(files, data) if data.in_memory else files


def usable(workers: int) -> int:
    """At most as many workers as this process has cores; more would only wait for each other, and torch would warn."""
    return min(workers, cores())


def batches_per_epoch(images: Part, recipe: RecipeConfig) -> int:
    """Whole batches in an epoch, at least one; the remainder, different images every epoch, is dropped."""
    size, n = recipe.batch_size, len(images)
    require(size <= n, "recipe.batch_size", size, f"up to {n}, the training images")
    return n // size


def micro_batches(
    images: Part, recipe: RecipeConfig, data: DataConfig, *, seed: int, epoch: int, start: int = 0, share: Share = ALONE
) -> Iterator[Batch]:
    """The micro-batches of an epoch from optimizer step `start` on.

    A process gets a contiguous range of those of each step, evenly divided. A recipe that the images cannot be trained
    with is refused at the call.

    Yields:
        Images (B, C, H, W) float32, channels last, and their targets: classes (B,) int64 or, with mixup or cutmix,
        class probabilities (B, num_classes) float32, smoothed and mixed within the micro-batch.
    """
    each, (rank, world) = micro_batches_per_step(recipe), share
    own = range(rank * each // world, (rank + 1) * each // world)
    steps, mixup = batches_per_epoch(images, recipe), _mixup(recipe, data.num_classes)
    numbers = [step * each + offset for step in range(start, steps) for offset in own]
    size, left = min(recipe.bn_batch_size, recipe.batch_size), images.batch_recipe(recipe)

    def batches() -> Iterator[Batch]:
        order = epoch_order(seed, epoch, len(images)).split(size)
        draws = draw(left, images.shape, seed=seed, epoch=epoch, device=images.device)
        indices = [order[number] for number in numbers]
        raw = images.batches(indices, seed=mix(seed, epoch))
        for number, index, (x, targets) in zip(numbers, indices, raw, strict=True):
            x = augment(x, index.to(x.device), draws, data=data)
            if mixup is not None:
                with preserved():  # micro-batches are numbered through all epochs
                    reseed(mix(seed, epoch * steps * each + number, Stream.mixup))
                    x, targets = mixup(x, targets)
            yield channels_last(x), targets

    return batches()


def evaluation_batches(images: Part, data: DataConfig, batch_size: int, share: Share = ALONE) -> Iterator[Batch]:
    """Every image once and in order, the last batch smaller; every n-th batch for one of n processes.

    Yields:
        Images (B, C, H, W) float32, channels last, and their classes (B,) int64.
    """
    for x, labels in images.batches(evaluated(len(images), batch_size, share), seed=0):
        yield channels_last(normalize(x, data)), labels


def evaluated(images: int, batch_size: int, share: Share = ALONE) -> tuple[Tensor, ...]:
    """The positions (B,) of the images in each batch of `evaluation_batches`."""
    rank, world = share
    return torch.arange(images).split(batch_size)[rank::world]


def _mixup(recipe: RecipeConfig, num_classes: int) -> "Mixup | None":
    if recipe.mixup_prob == 0 or recipe.mixup == recipe.cutmix == 0:
        return None
    from timm.data import Mixup  # takes two seconds

    size, key = min((recipe.batch_size, "recipe.batch_size"), (recipe.bn_batch_size, "recipe.bn_batch_size"))
    require(size % 2 == 0, key, size, "an even number with mixup or cutmix")
    options = {"switch_prob": recipe.mixup_switch_prob, "label_smoothing": recipe.smoothing, "num_classes": num_classes}
    return Mixup(recipe.mixup, recipe.cutmix, prob=recipe.mixup_prob, mode="batch", **options)


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) in the channels-last memory format."""
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)
    # One channel is contiguous in any format, so torch would keep the strides, by which convs choose theirs.
    return x.view(x.shape[0], *x.shape[2:], 1).permute(0, 3, 1, 2)

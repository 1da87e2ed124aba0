"""Random images in memory, recipes with one or all operations, and comparisons of batches."""

from dataclasses import replace

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.in_memory import Images
from roadmap.data.loader import micro_batches
from roadmap.data.rng import epoch_order

PLAIN = RecipeConfig(batch_size=16, bn_batch_size=1000, scale=[1.0, 1.0], ratio=[1.0, 1.0])
FLIP = replace(PLAIN, hflip=0.5)
CROP = replace(PLAIN, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3])
ERASE = replace(PLAIN, reprob=0.25)
SINGLE = replace(CROP, hflip=0.5, reprob=0.25)
MIXED = replace(SINGLE, mixup=0.8, cutmix=1.0, mixup_prob=0.9, smoothing=0.1)
DATA = DataConfig(name="cifar10", in_chans=3, num_classes=10, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.25], img_size=32)
GREY = replace(DATA, in_chans=1, mean=[0.286], std=[0.353])
CPU = torch.device("cpu")


def some(n: int, data: DataConfig = DATA) -> Images:
    """n random images with random labels."""
    generator = torch.Generator().manual_seed(n)
    size = (n, data.in_chans, data.img_size, data.img_size)
    images = torch.randint(256, size, dtype=torch.uint8, generator=generator)
    return Images(images, torch.randint(data.num_classes, (n,), generator=generator))


def same(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether two lists of batches are equal to the bit."""
    return len(a) == len(b) and all(
        torch.equal(x, z) and torch.equal(t, u) for (x, t), (z, u) in zip(a, b, strict=True)
    )


def by_index(images: Images, recipe: RecipeConfig, *, epoch: int = 0, seed: int = 0) -> Tensor:
    """The images of an epoch in their original order."""
    x = torch.cat([x for x, _ in micro_batches(images, recipe, DATA, seed=seed, epoch=epoch)])
    order = epoch_order(seed, epoch, len(images))
    return torch.empty_like(x).index_copy_(0, order[: len(x)], x)

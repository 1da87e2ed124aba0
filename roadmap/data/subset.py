"""The training images of a run: a fraction of each class, and a part held out of training; nested and seeded."""

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig
from roadmap.data.rng import class_order
from roadmap.errors import require


def subset(labels: Tensor, data: DataConfig, *, train: bool) -> Tensor:
    """Indices (M,) of images of the part that `records.source_part` names, whose labels (N,) these are, in order.

    The images of each class have a random order, a function of data.subset_seed. The last data.holdout of it is held
    out of training and evaluated instead of the test images; of the others, the first data.fraction is trained on. So
    a smaller fraction is part of a larger one, and no image is on both sides.
    """
    everything = torch.arange(len(labels))
    if data.holdout == 0 and (data.fraction == 1 or not train):
        return everything
    by_class = labels.argsort(stable=True).split(labels.unique(return_counts=True)[1].tolist())
    chosen = []
    for images in by_class:
        n = len(images)
        shuffled = images[class_order(data.subset_seed, int(labels[images[0]]), n)]
        rest = n - min(max(1, round(data.holdout * n)), n - 1) if data.holdout else n
        chosen.append(shuffled[: max(1, round(data.fraction * rest))] if train else shuffled[rest:])
    found = torch.cat(chosen).sort().values
    require(len(found) > 0, "data.holdout", data.holdout, "0 where no class has two training images")
    return found

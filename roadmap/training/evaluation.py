"""Accuracy as whole numbers: every image once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Counts(NamedTuple):
    """Images that were named right at the first, and within the first five guesses."""

    total: int
    top1: int
    top5: int


@torch.inference_mode()
def evaluate(models: Sequence[nn.Module], batches: Iterable[tuple[Tensor, Tensor]]) -> list[Counts]:
    """Count for each model over one pass of batches of images (N, C, H, W) and classes (N), all on one device."""
    counts = [Counts(0, 0, 0) for _ in models]
    for model in models:
        model.eval()
    for images, classes in batches:
        counts = [_add(count, model(images), classes) for count, model in zip(counts, models, strict=True)]
    return counts


def _add(counts: Counts, logits: Tensor, classes: Tensor) -> Counts:
    guesses = logits.topk(min(5, logits.shape[1]), dim=1).indices == classes[:, None]
    return Counts(counts.total + len(classes), counts.top1 + int(guesses[:, 0].sum()), counts.top5 + int(guesses.sum()))

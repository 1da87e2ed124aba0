"""Accuracy as whole numbers: every image once."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Counts(NamedTuple):
    """Images that were named right at the first, and within the first five guesses."""

    total: int
    top1: int
    top5: int


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Counts:
    """Count over batches of images (N, C, H, W) and classes (N)."""
    model.eval()
    total = top1 = top5 = 0
    for images, classes in batches:
        logits = model(images.to(device))
        guesses = logits.topk(min(5, logits.shape[1]), dim=1).indices == classes.to(device)[:, None]
        total += len(classes)
        top1 += int(guesses[:, 0].sum())
        top5 += int(guesses.sum())
    return Counts(total, top1, top5)

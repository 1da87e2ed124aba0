"""Accuracy in whole numbers: every image counts once.

An eval returns an iterator of `Metric`; `evaluate` counts for those of runs.
"""

import csv
import io
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS
from roadmap.data.loader import Part, evaluation_batches
from roadmap.data.resize import finished_copy
from roadmap.data.test_sets import folders
from roadmap.files import write_atomic

TOP = (1, 5)  # an image is right if its class is among so many first guesses
SECONDS = 60.0  # between two lines about progress where there is no terminal
T = TypeVar("T")


class Metric(NamedTuple):
    """One number of a network."""

    name: str
    value: float  # in percent
    text: str  # a line for people, with the counts behind the value


def accuracy(
    network: nn.Module, config: Config, images: Part, *, console: Console, per_class: Path | None
) -> Iterator[Metric]:
    """Top-1 and top-5 on test images; `per_class` is a CSV to write with the counts by class.

    On a test set with some of ImageNet's classes, the network chooses among these.
    """
    if (copy := finished_copy(Path(config.data.root).expanduser())) and "val" in copy.parts:
        console.print(f"not the originals, but a resized copy ({copy})")
    size, classes = config.training.eval_batch_size, list(range(config.data.num_classes))
    if config.data.name in TEST_SETS:
        classes = sorted(folders(config.data.name).values())
        if len(classes) < config.data.num_classes:
            console.print(f"{config.data.name}: chosen among its {len(classes)} classes")
            others = torch.ones(config.data.num_classes, dtype=torch.bool, device=images.device)
            others[classes] = False
            network.register_forward_hook(lambda _module, _images, logits: logits.masked_fill(others, -torch.inf))
    batches = evaluation_batches(images, config.data, size)
    watched = watch(batches, math.ceil(len(images) / size), console, unit="batches")
    (counts,) = evaluate([network], watched, num_classes=config.data.num_classes)
    total, *hits = counts.sum(0).tolist()
    for k, right in zip(TOP, hits, strict=True):
        percent = 100 * right / total
        yield Metric(f"top{k}", percent, f"top-{k}: {right:,} of {total:,} images, {percent:.3f} %")
    if per_class:
        text = io.StringIO()
        csv.writer(text).writerow(("class", "images", *(f"top{k}" for k in TOP)))
        csv.writer(text).writerows((number, *counts[number].tolist()) for number in classes)
        write_atomic(per_class, text.getvalue())


@torch.inference_mode()
def evaluate(
    models: Sequence[nn.Module], batches: Iterable[tuple[Tensor, Tensor]], *, num_classes: int
) -> list[Tensor]:
    """Counts (K, 3) int64 of each model in one pass over batches of images (N, C, H, W) and classes (N).

    By class: its images, and those among them for which it is the first guess (top-1) or among five (top-5).
    """
    for model in models:
        model.eval()
    counts = [torch.zeros(num_classes, 1 + len(TOP), dtype=torch.int64) for _ in models]
    for images, classes in batches:
        labels = classes.cpu()
        for count, model in zip(counts, models, strict=True):
            hits = (model(images).topk(min(max(TOP), num_classes), dim=1).indices == classes[:, None]).cpu()
            found = [labels, *(labels[hits[:, :k].any(1)] for k in TOP)]
            count += torch.stack([torch.bincount(each, minlength=num_classes) for each in found], dim=1)
    return counts


def watch(items: Iterable[T], total: int, console: Console, *, unit: str) -> Iterator[T]:
    """The same items, with a progress bar on a terminal and one line per minute elsewhere."""
    printed = time.monotonic()
    bar = track(items, total=total, console=console, disable=not console.is_terminal)
    for number, item in enumerate(bar, 1):
        yield item
        if not console.is_terminal and time.monotonic() - printed > SECONDS:
            printed = time.monotonic()
            console.print(f"{number:,} of {total:,} {unit}")

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

    On images of some of the classes, the network chooses among all classes, and then among these. On ImageNet's test
    sets with some of its classes it chooses among these alone, as in their papers.
    """
    if (copy := finished_copy(Path(config.data.root).expanduser())) and "val" in copy.parts:
        console.print(f"not the originals, but a resized copy ({copy})")
    data, size = config.data, config.training.eval_batch_size
    among = images.records.among if images.records else ()
    watched = watch(evaluation_batches(images, data, size), math.ceil(len(images) / size), console, unit="batches")
    every, *restricted = evaluate([network], watched, num_classes=data.num_classes, among=among)
    scored = [("", "", every)]
    if among:
        scored = [(f" among all {data.num_classes} classes", "", every)]
        scored += [(f" among the {len(among)} classes of the images", "_among", counts) for counts in restricted]
    if among and data.name in TEST_SETS:
        console.print(f"{data.name}: chosen among its {len(among)} classes")
        scored = [("", "", counts) for counts in restricted]
    for words, suffix, counts in scored:
        total, *hits = counts.sum(0).tolist()
        for k, right in zip(TOP, hits, strict=True):
            if suffix and k >= len(among):  # every image would be right
                continue
            percent = 100 * right / total
            line = f"top-{k}{words}: {right:,} of {total:,} images, {percent:.3f} %"
            yield Metric(f"top{k}{suffix}", percent, line)
    if per_class:
        text = io.StringIO()
        csv.writer(text).writerow(("class", "images", *(f"top{k}" for k in TOP)))
        csv.writer(text).writerows((label, *scored[0][2][label].tolist()) for label in among or range(data.num_classes))
        write_atomic(per_class, text.getvalue())


@torch.inference_mode()
def evaluate(
    models: Sequence[nn.Module],
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    num_classes: int,
    among: Sequence[int] = (),
) -> list[Tensor]:
    """Counts (K, 3) int64 of each model in one pass over batches of images (N, C, H, W) and classes (N).

    By class: its images, and those among them for which it is the first guess (top-1) or among five (top-5). With
    `among`, the counts of the guesses among these classes alone follow, as many again.
    """
    for model in models:
        model.eval()
    others = torch.ones(num_classes, dtype=torch.bool)
    others[list(among)] = False
    counts = [
        torch.zeros(num_classes, 1 + len(TOP), dtype=torch.int64) for _ in range(len(models) * (2 if among else 1))
    ]
    for images, classes in batches:
        labels, logits = classes.cpu(), [model(images) for model in models]
        if among:
            logits += [each.masked_fill(others.to(each.device), -torch.inf) for each in logits]
        for count, each in zip(counts, logits, strict=True):
            hits = (each.topk(min(max(TOP), num_classes), dim=1).indices == classes[:, None]).cpu()
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

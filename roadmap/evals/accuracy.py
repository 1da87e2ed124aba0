"""Accuracy in whole numbers: every image counts once.

An eval returns an iterator of `Metric`; `evaluate` has the answers that those of runs are counted from.
"""

import base64
import csv
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS
from roadmap.data.loader import Part, evaluation_batches
from roadmap.data.resize import finished_copy
from roadmap.files import write_atomic

TOP = (1, 5)  # an image is right if its class is among so many first guesses
MATRIX_CLASSES = 100  # up to so many, a result has the images of each pair of true and predicted class
SECONDS = 60.0  # between two lines about progress where there is no terminal
T = TypeVar("T")


class Answers(NamedTuple):
    """The answers of a network to N test images of K classes, in their order."""

    counts: Tensor  # (K, 3) int64 by class: its images, and those with it as first guess, and among five
    classes: Tensor  # (N,) int64
    guesses: Tensor  # (N,) int64: the first guess
    loss: float  # sum of the cross-entropies


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
    every, *restricted = (
        each.counts for each in evaluate([network], watched, num_classes=data.num_classes, among=among)
    )
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
) -> list[Answers]:
    """The answers of each model in one pass over batches of images (B, C, H, W) and classes (B,).

    With `among`, the answers among these classes alone follow, as many again.
    """
    for model in models:
        model.eval()
    others = torch.ones(num_classes, dtype=torch.bool)
    others[list(among)] = False
    none = torch.zeros(0, dtype=torch.int64)  # a process may have no batch
    start = Answers(none.new_zeros(num_classes, 1 + len(TOP)), none, none, 0.0)
    found = [[start] for _ in range(len(models) * (2 if among else 1))]
    for images, classes in batches:
        logits = [model(images) for model in models]
        if among:
            logits += [each.masked_fill(others.to(each.device), -torch.inf) for each in logits]
        for batch, each in zip(found, logits, strict=True):
            batch.append(_answers(each, classes, num_classes))
    return [
        Answers(sum(counts), torch.cat(labels), torch.cat(guesses), sum(losses))
        for counts, labels, guesses, losses in (zip(*batch, strict=True) for batch in found)
    ]


def _answers(logits: Tensor, classes: Tensor, num_classes: int) -> Answers:
    """The answers in a batch of logits (B, K)."""
    guesses, labels = logits.topk(min(max(TOP), num_classes), dim=1).indices.cpu(), classes.cpu()
    hits = guesses == labels[:, None]
    counted = [labels, *(labels[hits[:, :k].any(1)] for k in TOP)]
    counts = torch.stack([torch.bincount(each, minlength=num_classes) for each in counted], dim=1)
    losses = functional.cross_entropy(logits.float(), classes, reduction="none")
    return Answers(counts, labels, guesses[:, 0], losses.double().sum().item())


def together(own: Answers, positions: Tensor, images: int, total: Callable[[Tensor], Tensor]) -> Answers:
    """The answers of all processes to all `images`, from the own ones, which are to those at `positions`.

    `total` sums a tensor over the processes.
    """

    def whole(values: Tensor) -> Tensor:
        return total(torch.zeros(images, dtype=torch.int64).index_copy(0, positions, values))

    loss = total(torch.tensor(own.loss, dtype=torch.float64)).item()
    return Answers(total(own.counts), whole(own.classes), whole(own.guesses), loss)


def stored(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """What a result keeps of answers, by metric (`top1`, `ema_top1`), as small plain data.

    `right`: one bit per test image, in their order, as base64. `confusion`: of the first answers, for each class the
    number of its images by predicted class; with over `MATRIX_CLASSES` classes, `by_class`: those of its images that
    are right and all of them.
    """
    bits = {name: np.packbits((each.guesses == each.classes).numpy()).tobytes() for name, each in answers.items()}
    right = {name: base64.b64encode(each).decode() for name, each in bits.items()}
    first = next(iter(answers.values()))
    classes = len(first.counts)
    if classes > MATRIX_CLASSES:
        return {"right": right, "by_class": [f"{top1} {images}" for images, top1, *_ in first.counts.tolist()]}
    pairs = torch.bincount(first.classes * classes + first.guesses, minlength=classes**2)
    return {"right": right, "confusion": [" ".join(map(str, row)) for row in pairs.view(classes, classes).tolist()]}


def watch(items: Iterable[T], total: int, console: Console, *, unit: str) -> Iterator[T]:
    """The same items, with a progress bar on a terminal and one line per minute elsewhere."""
    printed = time.monotonic()
    bar = track(items, total=total, console=console, disable=not console.is_terminal)
    for number, item in enumerate(bar, 1):
        yield item
        if not console.is_terminal and time.monotonic() - printed > SECONDS:
            printed = time.monotonic()
            console.print(f"{number:,} of {total:,} {unit}")

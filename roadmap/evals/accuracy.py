"""Accuracy in whole numbers: every image counts once.

An eval is a function `(network, config, device, *, console)` that returns an iterator of `Metric`.
"""

import csv
import io
import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS
from roadmap.data.loader import Part, evaluation_batches, load
from roadmap.data.resize import finished_copy
from roadmap.files import write_atomic

TOP = 5
SECONDS = 60.0  # between two lines about progress where there is no terminal
T = TypeVar("T")


class Metric(NamedTuple):
    """One number of a network."""

    name: str
    value: float  # in percent
    text: str  # a line for people, with the counts behind the value


@dataclass(frozen=True)
class Counts:
    """Images, and those among them whose class is the first guess (top-1) or within five (top-5)."""

    by_class: Tensor  # (K, 3) int64: images, top-1 and top-5 of each class

    @property
    def total(self) -> int:
        return int(self.by_class[:, 0].sum())

    @property
    def top1(self) -> int:
        return int(self.by_class[:, 1].sum())

    @property
    def top5(self) -> int:
        return int(self.by_class[:, 2].sum())

    def metrics(self) -> Iterator[tuple[str, int, float]]:
        """Name, count and percentage of each metric."""
        for name, right in (("top1", self.top1), ("top5", self.top5)):
            yield name, right, 100 * right / self.total


class Among(nn.Module):
    """A network that chooses among some of its classes: the logits of the others are -inf."""

    def __init__(self, network: nn.Module, classes: Collection[int]) -> None:
        super().__init__()
        self.network = network
        self.classes: Tensor
        self.register_buffer("classes", torch.tensor(sorted(classes)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K)."""
        logits = self.network(x)
        chosen = torch.full_like(logits, -torch.inf)
        chosen[:, self.classes] = logits[:, self.classes]
        return chosen


def accuracy(
    network: nn.Module,
    config: Config,
    device: torch.device,
    *,
    console: Console,
    images: "Part | None" = None,
    per_class: Path | None = None,
) -> Iterator[Metric]:
    """Top-1 and top-5 on the test images of a configuration; `per_class` is a CSV to write with the counts by class.

    On a test set with some of ImageNet's classes, the network chooses among these.

    Raises:
        DataError: images are missing or damaged.
    """
    from roadmap.data.test_sets import folders  # imports torchvision, which training has no need of

    images = (load(config, train=False) if images is None else images).to(device)
    if (copy := finished_copy(Path(config.data.root).expanduser())) and "val" in copy.parts:
        console.print(f"not the originals, but a resized copy ({copy})")
    size, classes = config.training.eval_batch_size, list(range(config.data.num_classes))
    if config.data.name in TEST_SETS:
        classes = sorted(folders(config.data.name).values())
        if len(classes) < config.data.num_classes:
            console.print(f"{config.data.name}: chosen among its {len(classes)} classes")
            network = Among(network, classes).to(device)
    batches = evaluation_batches(images, config.data, size)
    watched = watch(batches, math.ceil(len(images) / size), console, unit="batches")
    (counts,) = evaluate([network], watched, num_classes=config.data.num_classes)
    for name, right, percent in counts.metrics():
        label = name.replace("top", "top-")
        yield Metric(name, percent, f"{label}: {right:,} of {counts.total:,} images, {percent:.3f} %")
    if per_class:
        text = io.StringIO()
        csv.writer(text).writerow(("class", "images", "top1", "top5"))
        csv.writer(text).writerows((number, *counts.by_class[number].tolist()) for number in classes)
        write_atomic(per_class, text.getvalue())


@torch.inference_mode()
def evaluate(
    models: Sequence[nn.Module], batches: Iterable[tuple[Tensor, Tensor]], *, num_classes: int
) -> list[Counts]:
    """Counts of each model in one pass over batches of images (N, C, H, W) and classes (N), all on one device."""
    for model in models:
        model.eval()
    found = [torch.zeros(num_classes, 3, dtype=torch.int64) for _ in models]
    for images, classes in batches:
        found = [a + _count(model(images), classes) for a, model in zip(found, models, strict=True)]
    return [Counts(by_class) for by_class in found]


def watch(items: Iterable[T], total: int, console: Console, *, unit: str) -> Iterator[T]:
    """The same items, with a progress bar on a terminal and one line per minute elsewhere."""
    printed = time.monotonic()
    bar = track(items, total=total, console=console, disable=not console.is_terminal)
    for number, item in enumerate(bar, 1):
        yield item
        if not console.is_terminal and time.monotonic() - printed > SECONDS:
            printed = time.monotonic()
            console.print(f"{number:,} of {total:,} {unit}")


def _count(logits: Tensor, classes: Tensor) -> Tensor:
    k = logits.shape[1]
    hits = (logits.topk(min(TOP, k), dim=1).indices == classes[:, None]).cpu()
    classes = classes.cpu()
    chosen = (classes, classes[hits[:, 0]], classes[hits.any(1)])
    return torch.stack([torch.bincount(some, minlength=k) for some in chosen], dim=1)

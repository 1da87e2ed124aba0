"""Accuracy as whole numbers: every image once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

TOP = 5


@dataclass(frozen=True)
class Counts:
    """Images that were named right at the first, and within the first five guesses."""

    by_class: Tensor
    """(K, 3) int64: for each class its images, those right at the first, those within five."""

    @property
    def total(self) -> int:
        """Images seen."""
        return int(self.by_class[:, 0].sum())

    @property
    def top1(self) -> int:
        """Right at the first guess."""
        return int(self.by_class[:, 1].sum())

    @property
    def top5(self) -> int:
        """Right within five."""
        return int(self.by_class[:, 2].sum())


class Among(nn.Module):
    """A network that must choose among some of its classes: the logits of the others are -inf."""

    def __init__(self, network: nn.Module, classes: Collection[int]) -> None:
        super().__init__()
        self.network = network
        self.classes: Tensor
        self.register_buffer("classes", torch.tensor(sorted(classes)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        logits = self.network(x)
        chosen = torch.full_like(logits, -torch.inf)
        chosen[:, self.classes] = logits[:, self.classes]
        return chosen


@torch.inference_mode()
def evaluate(
    models: Sequence[nn.Module], batches: Iterable[tuple[Tensor, Tensor]], *, num_classes: int
) -> list[Counts]:
    """Count for each model over one pass of batches of images (N, C, H, W) and classes (N), all on one device."""
    for model in models:
        model.eval()
    found = [torch.zeros(num_classes, 3, dtype=torch.int64) for _ in models]
    for images, classes in batches:
        found = [a + _count(model(images), classes) for a, model in zip(found, models, strict=True)]
    return [Counts(by_class) for by_class in found]


def _count(logits: Tensor, classes: Tensor) -> Tensor:
    k = logits.shape[1]
    hits = (logits.topk(min(TOP, k), dim=1).indices == classes[:, None]).cpu()
    classes = classes.cpu()
    chosen = (classes, classes[hits[:, 0]], classes[hits.any(1)])
    return torch.stack([torch.bincount(some, minlength=k) for some in chosen], dim=1)

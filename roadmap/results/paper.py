"""The published ladder (arXiv 2201.03545, Tables 10 and 11), as it lies in roadmap/reference."""

import csv
from dataclasses import dataclass
from pathlib import Path

from roadmap.config.schema import Ladder
from roadmap.config.steps import steps

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


@dataclass(frozen=True)
class Published:
    """A row of the paper's tables."""

    top1: float
    """ImageNet-1K top-1 in percent."""
    gflops: float
    """As printed."""
    top1_std: float | None
    """Over three seeds, where it is published."""


def paper_regime(regime: str) -> str:
    """The paper's regime that a regime is compared with: its own, else the small one."""
    return "resnet200" if regime == "resnet200" else "resnet50"


def published(regime: str, ladder: Ladder = Ladder.network) -> dict[str, Published]:
    """The paper's rows for a regime, by step; a rung the paper does not have is not in it.

    Of the recipe ladder it has the two ends: the ResNet before and after the training recipe.
    """
    rungs = [row for row in _rows(regime) if row["adopted"] != "reference"]
    paper = {row["step"]: _published(row) for row in rungs}
    if ladder is Ladder.network:
        return paper
    last = [rung.name for rung in steps(ladder=ladder) if rung.main_sequence][-1]
    return {"resnet": paper["resnet"], last: paper["training_recipe"]}


def _published(row: dict[str, str]) -> Published:
    std = float(row["top1_std"]) if row["top1_std"] else None
    return Published(float(row["top1"]), float(row["gflops"]), std)


def to_beat(regime: str) -> tuple[str, float]:
    """The transformer that the ladder is measured by, and its top-1: ("Swin-T", 81.3)."""
    row = next(row for row in _rows(regime) if row["adopted"] == "reference")
    family, size = row["step"].split("_")
    return f"{family.title()}-{size.upper()}", float(row["top1"])


def _rows(regime: str) -> list[dict[str, str]]:
    with (REFERENCE / "convnext_paper.csv").open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["regime"] == paper_regime(regime)]

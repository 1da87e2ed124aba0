"""What a step gets right and confuses, class by class, beside its parent."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from roadmap.answers import by_class, confusion
from roadmap.data.datasets import DATASETS
from roadmap.results.statistics import one_run

Result = Mapping[str, Any]
LISTED = 20  # up to so many classes are all listed, and have a matrix; of more, the `FEW` that changed most
FEW = 10


class Cell(NamedTuple):
    """A number of the table or the matrix of a step."""

    text: str  # percent of the images of the class
    strength: float  # of its colour, 0 to 1
    difference: str = ""  # to the parent's, in points
    change: float = 0.0  # 0 to 1: for the better, -1 to 0: for the worse


class Classes(NamedTuple):
    """The classes of a step, for the page."""

    total: int
    runs: int
    margin: str  # of the accuracy of a class in one run, in points
    accuracies: list[tuple[str, int, Cell]]  # name, images per run, accuracy
    matrix: list[tuple[str, list[Cell]]]  # name, its images by predicted class; empty with many classes
    confusions: list[tuple[str, str, Cell]]  # the most frequent ones: true class, predicted class, share


def classes_of(own: Sequence[Result], parent: Sequence[Result]) -> Classes | None:
    """From the results of a step and of its parent; None if none of the step's results keeps its answers.

    Numbers are over all runs together. Without results of the parent that keep theirs there are no differences.
    """
    kept, before = ([run for run in runs if by_class(run)] for runs in (own, parent))
    if not kept:
        return None
    names, counts = names_of(kept[0]), _summed([by_class(run) or [] for run in kept])
    earlier = _summed([by_class(run) or [] for run in before])
    accuracies = [
        (name, images // len(kept), _cell((right, images), earlier[i] if earlier else None, good=True))
        for i, (name, (right, images)) in enumerate(zip(names, counts, strict=True))
        if images
    ]
    margins = [one_run(100 * right / images, images // len(kept)) for right, images in counts if images]
    matrix, confusions = _matrix(kept, before, names)
    if len(names) > LISTED:
        order = sorted(accuracies, key=lambda each: each[2].change if earlier else each[2].strength)
        accuracies = [*order[: FEW // 2], *order[-FEW // 2 :]] if earlier else order[:FEW]
    margin = f"{max((high - low) / 2 for low, high in margins):.1f}"
    return Classes(len(names), len(kept), margin, accuracies, matrix, confusions)


def names_of(result: Result) -> list[str]:
    """The names of the classes after their numbers, or the numbers alone."""
    data = result["config"]["data"]
    names = result.get("classes") or (DATASETS[data["name"]].names if data["name"] in DATASETS else ())
    known = len(names) == data["num_classes"]
    return [f"{i} {names[i]}" if known else str(i) for i in range(data["num_classes"])]


def _matrix(
    kept: Sequence[Result], before: Sequence[Result], names: Sequence[str]
) -> tuple[list[tuple[str, list[Cell]]], list[tuple[str, str, Cell]]]:
    """The confusion matrix, if the classes are few, and the most frequent confusions."""
    counts, earlier = (_summed([confusion(run) or [] for run in runs]) for runs in (kept, before))
    cells = [
        [
            _cell((count, sum(row)), (earlier[i][j], sum(earlier[i])) if earlier else None, good=i == j)
            for j, count in enumerate(row)
        ]
        for i, row in enumerate(counts)
    ]
    wrong = [(names[i], names[j], cell) for i, row in enumerate(cells) for j, cell in enumerate(row) if i != j]
    frequent = sorted((each for each in wrong if each[2].strength), key=lambda each: -each[2].strength)[:FEW]
    return [*zip(names, cells, strict=True)] if len(names) <= LISTED and cells else [], frequent


def _cell(own: Sequence[int], before: Sequence[int] | None, *, good: bool) -> Cell:
    """A share of images and its difference to the parent's; `good`: whether more is better."""
    share = own[0] / own[1] if own[1] else 0.0
    text = f"{100 * share:.1f}"
    if before is None or not before[1]:
        return Cell(text, share)
    points = 100 * (share - before[0] / before[1])
    change = max(-1.0, min(1.0, points / FEW)) * (1 if good else -1)
    return Cell(text, share, f"{points:+.1f}" if abs(points) >= 0.05 else "0.0", round(change, 3))


def _summed(tables: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """The sum of tables of one shape."""
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]

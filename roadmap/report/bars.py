"""What stands in the panels of the figure: bars, whiskers, the path, and the paper's marks."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from roadmap.config.schema import Ladder
from roadmap.results.paper import to_beat
from roadmap.results.table import Row

# Okabe and Ito's palette, which stays told apart in every common form of colour blindness.
GROUPS = {
    "start": ("Start", "#999999"),
    "recipe": ("Recipe", "#E69F00"),
    "macro": ("Macro design", "#56B4E9"),
    "resnext": ("ResNeXt-ify", "#009E73"),
    "inverted": ("Inverted bottleneck", "#CC79A7"),
    "kernel": ("Large kernel", "#0072B2"),
    "micro": ("Micro design", "#D55E00"),
    "convnext": ("ConvNeXt", "#F0E442"),
    "optimizer": ("Optimization", "#E69F00"),
    "augmentation": ("Augmentation", "#009E73"),
    "regularization": ("Regularization", "#CC79A7"),
    "own": ("Your own", "#222222"),
}
INK, FAINT = "#222222", "#6E6E6E"
# A white rim keeps lines apart from bars of any colour.
HALO = [withStroke(linewidth=3, foreground="white")]
SIDE: dict[str, Any] = {"facecolor": "white", "hatch": "////"}
MARK: dict[str, Any] = {
    "marker": "D",
    "markersize": 4,
    "markeredgecolor": INK,
    "markeredgewidth": 0.9,
    "linestyle": "",
}
PATH: dict[str, Any] = {"color": INK, "linewidth": 1.3}
TO_BEAT: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (5, 3))}
HEADINGS = -1.05
"""Height of the line above the first row."""
Rungs = Sequence[tuple[Row, float]]
"""Rows with their heights: one row is 1, downwards."""


def draw_bars(axes: Axes, rungs: Rungs) -> list[float]:
    """Bars and deviations, side rungs hatched, the path along the ends; returns accuracies to be in sight."""
    shown: list[float] = []
    for row, y in rungs:
        if row.top1 is None:
            continue
        colour = group(row.group)[1]
        style = {"facecolor": colour, "edgecolor": colour} | (SIDE if row.side else {})
        axes.barh(y, row.top1, 0.76, linewidth=0.9, **style)
        for ink, width in (("white", 3.0), (INK, 1.1)) if row.top1_std is not None else ():
            line: dict[str, Any] = {"color": ink, "elinewidth": width, "capthick": width, "capsize": 2.6}
            axes.errorbar(row.top1, y, xerr=row.top1_std, zorder=4, **line)
        shown += [row.top1 - (row.top1_std or 0), row.top1 + (row.top1_std or 0)]
    draw_path(axes, [(row.top1, y) for row, y in rungs if row.main_sequence])
    return shown


def draw_path(axes: Axes, ends: Sequence[tuple[float | None, float]]) -> None:
    """The adopted path as a line, broken where a rung is missing."""
    across = [float("nan") if value is None else value for value, _ in ends]
    axes.plot(across, [y for _, y in ends], **PATH, path_effects=HALO, zorder=3)


def draw_base(axes: Axes, rungs: Rungs) -> None:
    """The accuracy that all variants of a design are compared with, as a line through their bars."""
    base = rungs[0][0]
    if base.top1 is not None:
        axes.axvline(base.top1, **TO_BEAT, zorder=2.5)


def draw_paper(axes: Axes, rungs: Rungs) -> None:
    """The paper's ladder in a panel of its own: full marks on its path, hollow ones beside it."""
    draw_path(axes, [(row.paper_top1, y) for row, y in rungs if row.main_sequence])
    for row, y in rungs:
        if row.paper_top1 is not None:
            axes.plot(row.paper_top1, y, **MARK, color=INK if row.main_sequence else "white", zorder=5)


def draw_targets(axes: Axes, rungs: Rungs) -> list[float]:
    """The paper's values as marks on the lower edges of the bars, and the line to beat; returns them all."""
    marks = [(row.paper_top1, y + 0.36) for row, y in rungs if row.paper_top1 is not None]
    axes.plot(*zip(*marks, strict=True), **MARK, color="white", zorder=5)
    shown = [value for value, _ in marks]
    if rungs[0][0].ladder != Ladder.network.name:
        return shown
    name, to_reach = to_beat(rungs[0][0].regime)
    axes.axvline(to_reach, **TO_BEAT, zorder=2.5)
    axes.text(to_reach, HEADINGS, f"{name} {to_reach}", ha="center", va="center_baseline")
    return [to_reach, *shown]


def group(name: str) -> tuple[str, str]:
    """Name and colour of a group; one of a user's own step file goes by its own name."""
    return GROUPS.get(name, (name, INK))

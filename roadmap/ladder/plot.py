"""The ladder as a figure, after Figure 2 of the paper: rungs downwards, accuracy to the right."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from roadmap.files import write_atomic
from roadmap.ladder.paper import paper_regime, to_beat
from roadmap.ladder.table import Row, gflops, read_csv
from roadmap.schema import ConfigError

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
    "own": ("Your own", "#222222"),
}
PAPER_START = {"resnet50": "ResNet-50", "resnet200": "ResNet-200"}
INK, FAINT, BAND, GRID = "#222222", "#6E6E6E", "#F3F3F3", "#D8D8D8"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "hatch.linewidth": 1.2,
    "svg.hashsalt": "ladder",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
}
WIDTH, ROW, ABOVE, BELOW = 8.5, 0.235, 0.98, 0.98  # inches
GAP = 0.3  # between groups, in rows
HEADINGS = -1.05  # in rows, like all heights
HALO = [patheffects.withStroke(linewidth=3, foreground="white")]
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


class Columns(NamedTuple):
    """Places across the figure, as shares of its width."""

    title: float
    """Right edge of the titles."""
    bars: tuple[float, float]
    top1: float
    """Right edge of the accuracies."""
    gflops: float
    """Right edge of the GFLOPs."""
    paper: tuple[float, float] | None
    """The panel of the paper's ladder, where it has one."""


SHARED = Columns(0.36, (0.37, 0.79), 0.905, 0.985, None)
APART = Columns(0.36, (0.37, 0.63), 0.735, 0.81, (0.845, 0.985))
Rungs = Sequence[tuple[Row, float]]
"""Rows with their heights."""


def plot(study: str, results_dir: Path = Path("results")) -> list[Path]:
    """Draw <results_dir>/<study>/ladder.png and .svg from the ladder.csv beside them; returns the two paths.

    The same table gives the same bytes.

    Raises:
        ConfigError: there is no table, or it is damaged.
    """
    table = results_dir / study / "ladder.csv"
    if not table.exists():
        raise ConfigError(f"study={study}: no {table}; first run: python scripts/collate.py study={study}")
    rows = read_csv(table)
    if not any(row.n for row in rows):
        raise ConfigError(f"{table}: not a ladder: no rung was run")
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with matplotlib.rc_context(STYLE):
        figure = draw(rows)
        for kind, unsaid in metadata.items():
            save = partial(figure.savefig, format=kind, dpi=200, metadata=unsaid)
            write_atomic(table.with_suffix(f".{kind}"), save)
    return [table.with_suffix(f".{kind}") for kind in metadata]


def draw(rows: Sequence[Row]) -> Figure:
    """The figure of a table in which at least one rung was run.

    On ImageNet the paper's values are marks among the bars, and the transformer to beat is a dashed line.
    Accuracies on other data share no scale with them: there the paper's ladder has a panel of its own.
    """
    columns = SHARED if rows[0].data == "imagenet" else APART
    rungs = list(zip(rows, _heights(rows), strict=True))
    span = rungs[-1][1] + 1
    figure = Figure(figsize=(WIDTH, ABOVE + ROW * span + BELOW), facecolor="white")
    sheet = _panel(figure, (0, 1), span)
    _draw_groups(sheet, rungs)
    _write_columns(sheet, rungs, columns)
    bars = _panel(figure, columns.bars, span)
    _axis(bars, f"top-1 on {rows[0].data}, %", ticks=8)
    shown = _draw_bars(bars, rungs)
    if columns.paper:
        paper = _panel(figure, columns.paper, span)
        _axis(paper, "top-1 on imagenet, %", ticks=4)
        _draw_paper(paper, rungs)
    else:
        shown += _draw_targets(bars, rungs)
    low, high = min(shown), max(shown)
    reach = (high - low) or 1.0
    bars.set_xlim(max(0.0, low - 0.2 * reach), high + 0.05 * reach)  # the shortest bar still has a length
    _frame(figure, rows, columns)
    return figure


def _heights(rows: Sequence[Row]) -> list[float]:
    """Where each row stands, downwards, with a gap between groups."""
    heights, y = [], -1.0
    for index, row in enumerate(rows):
        y += 1 + GAP * (index > 0 and row.group != rows[index - 1].group)
        heights.append(y)
    return heights


def _panel(figure: Figure, across: tuple[float, float], span: float) -> Axes:
    """Bare axes between two shares of the width; all panels share the heights of the rows."""
    height = figure.get_figheight()
    axes = figure.add_axes((across[0], BELOW / height, across[1] - across[0], ROW * span / height))
    axes.set(xlim=(0, 1), ylim=(span - 0.5, -0.5))
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    return axes


def _axis(axes: Axes, label: str, *, ticks: int) -> None:
    axes.tick_params(bottom=True, labelbottom=True, length=3, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, labelpad=3)
    axes.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.8)
    axes.autoscale(axis="x")
    axes.margins(x=0.1)


def _draw_groups(sheet: Axes, rungs: Rungs) -> None:
    """The names of the groups beside their colour, every other one on grey."""
    for index, (group, members) in enumerate(groupby(rungs, lambda rung: rung[0].group)):
        ys = [y for _, y in members]
        if index % 2 == 0:
            sheet.axhspan(ys[0] - 0.5 - GAP / 2, ys[-1] + 0.5 + GAP / 2, color=BAND, linewidth=0)
        name, colour = _group(group)
        sheet.add_patch(
            Rectangle((0.004, ys[0] - 0.38), 0.005, ys[-1] - ys[0] + 0.76, color=colour, linewidth=0)
        )
        sheet.text(0.017, ys[0], name, va="center_baseline", fontweight="bold", fontsize=8)


def _write_columns(sheet: Axes, rungs: Rungs, columns: Columns) -> None:
    """Titles, accuracies and GFLOPs."""
    for x, heading in ((columns.top1, "top-1, %"), (columns.gflops, "GFLOPs")):
        sheet.text(x, HEADINGS, heading, ha="right", va="center_baseline", color=FAINT)
    if columns.paper:
        start = PAPER_START[paper_regime(rungs[0][0].regime)]
        x = sum(columns.paper) / 2
        sheet.text(x, HEADINGS, f"paper, {start}", ha="center", va="center_baseline", color=FAINT)
    for row, y in rungs:
        top1 = "not run" if row.top1 is None else f"{row.top1:.2f}"
        top1 += "" if row.top1_std is None else f" ±{row.top1_std:.2f}"
        cost = "" if row.gflops is None else gflops(row.gflops)
        for x, text in ((columns.title, row.title), (columns.top1, top1), (columns.gflops, cost)):
            colour = FAINT if row.top1 is None else INK
            sheet.text(x, y, text, ha="right", va="center_baseline", color=colour)


def _draw_bars(axes: Axes, rungs: Rungs) -> list[float]:
    """Bars and deviations, side rungs hatched, the path along the ends; returns accuracies to be in sight."""
    shown: list[float] = []
    for row, y in rungs:
        if row.top1 is None:
            continue
        colour = _group(row.group)[1]
        style = {"facecolor": colour, "edgecolor": colour} | ({} if row.on_path else SIDE)
        axes.barh(y, row.top1, 0.76, linewidth=0.9, **style)
        if row.top1_std is not None:
            axes.errorbar(
                row.top1,
                y,
                xerr=row.top1_std,
                color=INK,
                elinewidth=1.1,
                capsize=2.2,
                path_effects=HALO,
                zorder=4,
            )
        shown += [row.top1 - (row.top1_std or 0), row.top1 + (row.top1_std or 0)]
    _draw_path(axes, [(row.top1, y) for row, y in rungs if row.on_path])
    return shown


def _draw_path(axes: Axes, ends: Sequence[tuple[float | None, float]]) -> None:
    """The adopted path as a line, broken where a rung is missing."""
    across = [float("nan") if value is None else value for value, _ in ends]
    axes.plot(across, [y for _, y in ends], **PATH, path_effects=HALO, zorder=3)


def _draw_paper(axes: Axes, rungs: Rungs) -> None:
    """The paper's ladder in a panel of its own: full marks on its path, hollow ones beside it."""
    _draw_path(axes, [(row.paper_top1, y) for row, y in rungs if row.on_path])
    for row, y in rungs:
        if row.paper_top1 is not None:
            axes.plot(row.paper_top1, y, **MARK, color=INK if row.on_path else "white", zorder=5)


def _draw_targets(axes: Axes, rungs: Rungs) -> list[float]:
    """The paper's values as marks on the lower edges of the bars, and the line to beat; returns them all."""
    name, to_reach = to_beat(rungs[0][0].regime)
    axes.axvline(to_reach, **TO_BEAT, zorder=2.5)
    axes.text(to_reach, HEADINGS, f"{name} {to_reach}", ha="center", va="center_baseline")
    marks = [(row.paper_top1, y + 0.36) for row, y in rungs if row.paper_top1 is not None]
    axes.plot(*zip(*marks, strict=True), **MARK, color="white", zorder=5)
    return [to_reach, *(value for value, _ in marks)]


def _frame(figure: Figure, rows: Sequence[Row], columns: Columns) -> None:
    """Title above, legend and reading notes below."""
    height = figure.get_figheight()
    counts = sorted({row.n for row in rows if row.n})
    seeds = (
        f"{counts[0]} to {counts[-1]} seeds"
        if len(counts) > 1
        else f"{counts[0]} seed{'s' * (counts[0] > 1)}"
    )
    about = f"study {rows[0].study}: {rows[0].regime} regime on {rows[0].data}, {seeds}"
    figure.text(
        0.012,
        1 - 0.24 / height,
        "From ResNet to ConvNeXt, one change at a time",
        fontsize=13,
        fontweight="bold",
        va="center",
    )
    figure.text(0.012, 1 - 0.5 / height, about, color=FAINT, fontsize=9, va="center")
    spread = "Whiskers: one standard deviation over seeds." if counts[-1] > 1 else "One seed: no whiskers."
    figure.text(
        0.012,
        0.12 / height,
        f"Bars: mean top-1 of the raw weights. {spread} No axis starts at 0.",
        color=FAINT,
        fontsize=8,
    )
    figure.legend(
        handles=_legend(columns, rows[0].regime),
        loc="lower left",
        bbox_to_anchor=(0, 0.24 / height),
        ncols=4,
        frameon=False,
        borderaxespad=0,
        columnspacing=1.8,
    )


def _legend(columns: Columns, regime: str) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], **PATH, label="the path"),
        Patch(edgecolor=FAINT, **SIDE, label="beside the path"),
    ]
    if not columns.paper:
        handles.append(Line2D([], [], **MARK, color="white", label="the paper"))
        handles.append(Line2D([], [], **TO_BEAT, label=f"{to_beat(regime)[0]}, to beat"))
    return handles


def _group(name: str) -> tuple[str, str]:
    """Name and colour of a group; one that a step file brought along has its own name and the colour of none."""
    return GROUPS.get(name, (name, INK))

"""The ladder as a figure, after Figure 2 of the paper: steps downwards, accuracy to the right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from roadmap.config.schema import Design
from roadmap.config.step_files import read_ladder
from roadmap.numbers import COUNTS, column
from roadmap.report import style
from roadmap.report.style import FAINT, INK, MARGIN, Placed, axis, group, panel, short
from roadmap.results.markup import compared
from roadmap.results.paper import reference_regime, to_beat
from roadmap.results.table import Row

TITLES = {
    Design.leave_one_out.name: "Leave one out: the end of the main sequence without each change",
    Design.add_one.name: "Add one: the start of the main sequence with each change alone",
}
SIDE_STEP: dict[str, Any] = {"facecolor": "white", "hatch": "////"}
SEQUENCE: dict[str, Any] = {"color": INK, "linewidth": 1.3}
REFERENCE: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (5, 3))}
PAPER: dict[str, Any] = {"marker": "D", "markersize": 4, "markeredgecolor": INK, "markeredgewidth": 0.9,
                         "linestyle": "", "color": "white"}  # fmt: skip
HEADINGS = -1.05  # y coordinate of the column headings


class Columns(NamedTuple):
    """Positions of the columns, as fractions of the width; of a text column, its right edge."""

    title: float
    bars: tuple[float, float]
    top1: float
    flops: float
    paper: tuple[float, float] | None  # the panel of the paper's ladder, if it has one of its own


ONE_PANEL = Columns(0.36, (0.37, 0.79), 0.905, 0.985, None)
TWO_PANELS = Columns(0.36, (0.37, 0.63), 0.735, 0.81, (0.845, 0.985))


def title_of(first: Row) -> str:
    """The title of a study, from the first row of its table."""
    return TITLES.get(first.design) or read_ladder(first.ladder).options.title


def draw(rows: Sequence[Row]) -> Figure:
    """The figure of a table with at least one finished run.

    On ImageNet the paper's accuracies are marks among the bars, and a dashed line is the reference transformer. On
    other data they share no scale, so the paper's ladder has its own panel. A design (leave_one_out, add_one) is not
    compared with the paper: its dashed line is the baseline.
    """
    first, placed = rows[0], list(zip(rows, style.heights(rows), strict=True))
    published = compared(rows) and first.design not in TITLES
    columns = TWO_PANELS if published and first.data != "imagenet" else ONE_PANEL
    span = placed[-1][1] + 1
    figure = Figure(figsize=(style.WIDTH, style.ABOVE + style.ROW * span + style.BELOW), facecolor="white")
    texts = panel(figure, (0, 1), span)
    style.draw_groups(texts, placed)
    _write_columns(texts, placed, columns)
    bars = panel(figure, columns.bars, span)
    axis(bars, f"top-1 on {first.data}, %", ticks=8)
    shown = _draw_bars(bars, placed)
    if columns.paper:
        paper = panel(figure, columns.paper, span)
        axis(paper, "top-1 on imagenet, %", ticks=4)
        _draw_sequence(paper, placed, "paper_top1")
        for row, y in placed:
            if row.paper_top1 is not None:  # hollow marks for side steps
                paper.plot(row.paper_top1, y, **PAPER | {"color": INK if row.main_sequence else "white"}, zorder=5)
    elif first.design in TITLES:
        if first.top1 is not None:
            bars.axvline(first.top1, **REFERENCE, zorder=2.5)
    elif published:
        shown += _draw_targets(bars, placed)
    low, high = min(shown), max(shown)
    reach = (high - low) or 1.0
    bars.set_xlim(max(0.0, low - 0.2 * reach), high + 0.05 * reach)  # the shortest bar still has a length
    _write_frame(figure, rows, columns)
    return figure


def _draw_bars(axes: Axes, rows: Placed) -> list[float]:
    """Bars with deviations, side steps hatched, the main sequence along their ends; returns the ends to be in view."""
    shown: list[float] = []
    for row, y in rows:
        if row.top1 is None:
            continue
        colour = group(row)[1]
        looks = {"facecolor": colour, "edgecolor": colour} | (SIDE_STEP if row.side else {})
        axes.barh(y, row.top1, 0.76, linewidth=0.9, **looks)
        for ink, width in (("white", 3.0), (INK, 1.1)) if row.top1_std is not None else ():
            line: dict[str, Any] = {"color": ink, "elinewidth": width, "capthick": width, "capsize": 2.6}
            axes.errorbar(row.top1, y, xerr=row.top1_std, zorder=4, **line)
        shown += [row.top1 - (row.top1_std or 0), row.top1 + (row.top1_std or 0)]
    _draw_sequence(axes, rows, "top1")
    return shown


def _draw_sequence(axes: Axes, rows: Placed, key: str) -> None:
    """The main sequence as a line, broken where a step is missing."""
    ends = [(getattr(row, key), y) for row, y in rows if row.main_sequence]
    across = [float("nan") if value is None else value for value, _ in ends]
    rim = [withStroke(linewidth=3, foreground="white")]  # separates the line from bars of any colour
    axes.plot(across, [y for _, y in ends], **SEQUENCE, path_effects=rim, zorder=3)


def _draw_targets(axes: Axes, rows: Placed) -> list[float]:
    """The paper's accuracies as marks on the bars, and the reference transformer; returns all of them."""
    marks = [(row.paper_top1, y + 0.36) for row, y in rows if row.paper_top1 is not None]
    axes.plot(*zip(*marks, strict=True), **PAPER, zorder=5)
    shown = [value for value, _ in marks]
    beaten = to_beat(rows[0][0].regime, rows[0][0].ladder)
    if beaten is None:
        return shown
    name, reference = beaten
    axes.axvline(reference, **REFERENCE, zorder=2.5)
    axes.text(reference, HEADINGS, f"{name} {reference}", ha="center", va="center_baseline")
    return [reference, *shown]


def _write_columns(axes: Axes, rows: Placed, columns: Columns) -> None:
    """Titles, accuracies and multiply-adds."""
    unit, costs = column([row.gflops and row.gflops * 1e9 for row, _ in rows], COUNTS)
    for x, heading in ((columns.top1, "top-1, %"), (columns.flops, f"{unit}FLOPs")):
        axes.text(x, HEADINGS, heading, ha="right", va="center_baseline", color=FAINT)
    source = reference_regime(rows[0][0].ladder, rows[0][0].regime)
    if columns.paper and source:
        x = sum(columns.paper) / 2
        axes.text(x, HEADINGS, f"the paper, {source.start}", ha="center", va="center_baseline", color=FAINT)
    for (row, y), cost in zip(rows, costs, strict=True):
        top1 = "not run" if row.top1 is None else f"{row.top1:.2f}"
        top1 += "" if row.top1_std is None else f" ±{row.top1_std:.2f}"
        for x, text in ((columns.title, short(row.title, 30)), (columns.top1, top1), (columns.flops, cost)):
            colour = FAINT if row.top1 is None else INK
            axes.text(x, y, text, ha="right", va="center_baseline", color=colour)


def _write_frame(figure: Figure, rows: Sequence[Row], columns: Columns) -> None:
    """Title above, legend and notes below."""
    height, first, seeds = figure.get_figheight(), rows[0], style.seeds(rows)
    plural = "s" if seeds != "1" else ""
    subject = f"study {short(first.study, 50)}: {first.regime} regime on {first.data}, {seeds} seed{plural}"
    if not first.compared:
        subject += ". Plumbing: the numbers mean nothing."
    notes = "Bars: mean top-1, raw weights. "
    notes += "Whiskers: ± one standard deviation over seeds. " if plural else "One seed: no whiskers. "
    notes += "Axes do not start at 0" + ("; the paper's panel has its own scale." if columns.paper else ".")
    figure.text(MARGIN, 1 - 0.31 / height, title_of(first), fontsize=13, fontweight="bold")
    figure.text(MARGIN, 1 - 0.55 / height, subject, fontsize=9, color=FAINT)
    figure.text(MARGIN, 0.12 / height, notes, fontsize=8, color=FAINT)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (MARGIN, 0.29 / height), "ncols": 4}
    figure.legend(
        handles=_legend(columns, first), **place, frameon=False, borderpad=0, borderaxespad=0, columnspacing=1.8
    )


def _legend(columns: Columns, first: Row) -> list[Artist]:
    if first.design in TITLES:
        return [Line2D([], [], **REFERENCE, label=f"baseline: {first.title}")]
    sequence = Line2D([], [], **SEQUENCE, label="main sequence")
    side, paper = Patch(edgecolor=FAINT, **SIDE_STEP, label="side step"), Line2D([], [], **PAPER, label="the paper")
    if columns.paper or not compared([first]):
        return [sequence, side]
    beaten = to_beat(first.regime, first.ladder)
    return [
        sequence,
        side,
        paper,
        *([Line2D([], [], **REFERENCE, label=f"{beaten[0]}, for reference")] if beaten else []),
    ]

"""The ladder as a figure, after Figure 2 of the paper: rungs downwards, accuracy to the right."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from roadmap.config.schema import Design, Ladder
from roadmap.errors import ConfigError
from roadmap.report.bars import (
    FAINT,
    HEADINGS,
    INK,
    MARK,
    PATH,
    SIDE,
    TO_BEAT,
    Rungs,
    draw_bars,
    draw_base,
    draw_paper,
    draw_targets,
)
from roadmap.report.style import ABOVE, BELOW, MARGIN, ROW, WIDTH, axis, draw_groups, heights, panel, save, short, style
from roadmap.results.paper import paper_regime, to_beat
from roadmap.results.table import Row, gflops, read_csv

TITLES = {
    Ladder.network.name: "From ResNet to ConvNeXt, one change at a time",
    Ladder.recipe.name: "From the original training recipe to the modern one, one ingredient at a time",
}
DESIGN_TITLES = {
    Design.leave_one_out.name: "The end of the path, each time without one change",
    Design.add_one.name: "The start of the path, each time with one change alone",
}
PAPER_START = {"resnet50": "ResNet-50", "resnet200": "ResNet-200"}


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
    with style():
        return save(draw(rows), table.with_suffix(""))


def draw(rows: Sequence[Row]) -> Figure:
    """The figure of a table in which at least one rung was run.

    On ImageNet the paper's values are marks among the bars, and the transformer to beat is a dashed line.
    Accuracies on other data share no scale with them: there the paper's ladder has a panel of its own.
    The variants of a design have nothing to do with the paper's: the dashed line is what they are compared with.
    """
    columns = SHARED if rows[0].data == "imagenet" or rows[0].design in DESIGN_TITLES else APART
    rungs = list(zip(rows, heights(rows), strict=True))
    span = rungs[-1][1] + 1
    figure = Figure(figsize=(WIDTH, ABOVE + ROW * span + BELOW), facecolor="white")
    sheet = panel(figure, (0, 1), span)
    draw_groups(sheet, rungs)
    _write_columns(sheet, rungs, columns)
    bars = panel(figure, columns.bars, span)
    axis(bars, f"top-1 on {rows[0].data}, %", ticks=8)
    shown = draw_bars(bars, rungs)
    if columns.paper:
        paper = panel(figure, columns.paper, span)
        axis(paper, "top-1 on imagenet, %", ticks=4)
        draw_paper(paper, rungs)
    elif rows[0].design in DESIGN_TITLES:
        draw_base(bars, rungs)
    else:
        shown += draw_targets(bars, rungs)
    low, high = min(shown), max(shown)
    reach = (high - low) or 1.0
    bars.set_xlim(max(0.0, low - 0.2 * reach), high + 0.05 * reach)  # the shortest bar still has a length
    _frame(figure, rows, columns)
    return figure


def about(ladder: str, design: str) -> str:
    """What a table as a whole is about."""
    return DESIGN_TITLES.get(design, TITLES[ladder])


def _write_columns(sheet: Axes, rungs: Rungs, columns: Columns) -> None:
    """Titles, accuracies and GFLOPs."""
    for x, heading in ((columns.top1, "top-1, %"), (columns.gflops, "GFLOPs")):
        sheet.text(x, HEADINGS, heading, ha="right", va="center_baseline", color=FAINT)
    if columns.paper:
        start = PAPER_START[paper_regime(rungs[0][0].regime)]
        x = sum(columns.paper) / 2
        sheet.text(x, HEADINGS, f"the paper, {start}", ha="center", va="center_baseline", color=FAINT)
    for row, y in rungs:
        top1 = "not run" if row.top1 is None else f"{row.top1:.2f}"
        top1 += "" if row.top1_std is None else f" ±{row.top1_std:.2f}"
        cost = "" if row.gflops is None else gflops(row.gflops)
        for x, text in ((columns.title, short(row.title, 30)), (columns.top1, top1), (columns.gflops, cost)):
            colour = FAINT if row.top1 is None else INK
            sheet.text(x, y, text, ha="right", va="center_baseline", color=colour)


def _frame(figure: Figure, rows: Sequence[Row], columns: Columns) -> None:
    """Title above, legend and reading notes below."""
    height = figure.get_figheight()
    counts = [row.n for row in rows if row.n]
    seeds = sorted({min(counts), max(counts)})
    study = short(rows[0].study, 50)
    which = f"study {study}: {rows[0].regime} regime on {rows[0].data}, {' to '.join(map(str, seeds))} seed"
    which += "s" if max(counts) > 1 else ""
    notes = "Bars: mean top-1 of the raw weights. "
    notes += "Whiskers: one standard deviation over seeds. " if max(counts) > 1 else "One seed: no whiskers. "
    notes += "No axis starts at 0" + (", and the paper's has its own scale." if columns.paper else ".")
    figure.text(
        MARGIN,
        1 - 0.31 / height,
        about(rows[0].ladder, rows[0].design),
        fontsize=13,
        fontweight="bold",
    )
    figure.text(MARGIN, 1 - 0.55 / height, which, fontsize=9, color=FAINT)
    figure.text(MARGIN, 0.12 / height, notes, fontsize=8, color=FAINT)
    figure.legend(
        handles=_legend(columns, rows[0]),
        loc="lower left",
        bbox_to_anchor=(MARGIN, 0.29 / height),
        ncols=4,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.8,
    )


def _legend(columns: Columns, first: Row) -> list[Artist]:
    if first.design in DESIGN_TITLES:
        return [Line2D([], [], **TO_BEAT, label=f"{first.title}, which all are compared with")]
    handles: list[Artist] = [
        Line2D([], [], **PATH, label="the path"),
        Patch(edgecolor=FAINT, **SIDE, label="beside the path"),
    ]
    if not columns.paper:
        handles.append(Line2D([], [], **MARK, color="white", label="the paper"))
    if not columns.paper and first.ladder == Ladder.network.name:
        handles.append(Line2D([], [], **TO_BEAT, label=f"{to_beat(first.regime)[0]}, to beat"))
    return handles

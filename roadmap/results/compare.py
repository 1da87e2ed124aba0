"""Two ladders side by side: the changes of each rung in both, as a table and as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roadmap.errors import ConfigError
from roadmap.files import write_atomic
from roadmap.report.style import (
    BELOW,
    FAINT,
    INK,
    MARGIN,
    ROW,
    WIDTH,
    axis,
    draw_groups,
    heights,
    panel,
    save,
    short,
    style,
)  # fmt: skip
from roadmap.results.paper_table import STUDY as PAPER
from roadmap.results.paper_table import paper_rows
from roadmap.results.statistics import kendall_tau, same_sign
from roadmap.results.table import Row, read_csv

Pair = tuple[Row, Row | None, Row | None]
"""A rung as either side names it, and its rows on both; None on a side that does not have it."""
Sides = tuple[str, str]
HEAD = "| rung | {0} | change [95 % CI] | told from zero | {1} | change [95 % CI] | told from zero |\n"
RULE = "|---|--:|--:|:-:|--:|--:|:-:|\n"
ABOVE, APART = 0.55, 0.19  # inches above the rows; share of a row between its two sides
TITLES, BARS = 0.36, (0.38, 0.985)  # shares of the width: right edge of the titles, the changes
SIDES: tuple[dict[str, Any], ...] = ({"marker": "o", "color": INK}, {"marker": "D", "color": "#D55E00"})


def compare(a: str, b: str, results_dir: Path = Path("results")) -> list[Path]:
    """Write <results_dir>/compare/<a>--<b>.md, .png and .svg; returns their paths.

    A side is the name of a study, or `paper`: the published ladder with its three seeds.

    Raises:
        ConfigError: a side has no table, it is twice the same, or the two share no change.
    """
    if a == b:
        raise ConfigError(f"{a} {b}: allowed are two different studies")
    pairs = paired(rows_of(a, results_dir), rows_of(b, results_dir))
    if not any(x and y and x.change is not None and y.change is not None for _, x, y in pairs):
        raise ConfigError(f"{a} {b}: they share no rung with a change in both")
    base = results_dir / "compare" / f"{a}--{b}"
    base.parent.mkdir(parents=True, exist_ok=True)
    page = base.with_name(f"{base.name}.md")
    write_atomic(page, to_markdown(pairs, (a, b)))
    with style():
        return [page, *save(draw(pairs, (a, b)), base)]


def rows_of(study: str, results_dir: Path) -> list[Row]:
    """The table of a study, or of the paper.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    if study == PAPER:
        return paper_rows()
    table = results_dir / study / "ladder.csv"
    if not table.exists():
        first = f"first run: python scripts/collate.py study={study}"
        raise ConfigError(f"{study}: no {table}; allowed is {PAPER} or a study with a table; {first}")
    return read_csv(table)


def paired(a: Sequence[Row], b: Sequence[Row]) -> list[Pair]:
    """All rungs of either side, in the order of the first one; those of the second alone follow."""
    left, right = ({row.step: row for row in side} for side in (a, b))
    return [(row, left.get(name), right.get(name)) for name, row in (left | (right | left)).items()]


def to_markdown(pairs: Sequence[Pair], names: Sides) -> str:
    """The pairs as a page of Markdown."""
    lines = [f"| {row.step} | {' | '.join([*_cells(a), *_cells(b)])} |\n" for row, a, b in pairs]
    return (
        f"# {names[0]} and {names[1]}\n\n"
        "Top-1 in percent, mean ± deviation over seeds; changes to the parent with Welch's interval, each for itself;\n"
        "told from zero by p with Holm's correction within each ladder.\n\n"
        f"{HEAD.format(*names)}{RULE}{''.join(lines)}\n- {agreement(pairs)}\n"
    )


def agreement(pairs: Sequence[Pair]) -> str:
    """In how many of the changes that both know the two go the same way, and how alike they rank the rungs."""
    both = [(a, b) for _, a, b in pairs if a and b]
    levels = [(a.top1, b.top1) for a, b in both if a.top1 is not None and b.top1 is not None]
    changes = [(a.change, b.change) for a, b in both if a.change is not None and b.change is not None]
    told = [(a.change, b.change) for a, b in both if a.change is not None and b.change is not None
            and a.significant and b.significant]  # fmt: skip
    tau = kendall_tau(*([pair[side] for pair in levels] for side in (0, 1)))
    said = f"Kendall's tau {'not defined' if tau is None else f'{tau:.2f}'} over {len(levels)} rungs"
    for which, pairs_of in (("changes", changes), ("changes that both tell from zero", told)):
        agree = same_sign(*([pair[side] for pair in pairs_of] for side in (0, 1)))
        said += f"; {agree} of {len(pairs_of)} {which} have the same sign"
    return said


def draw(pairs: Sequence[Pair], names: Sides) -> Figure:
    """The changes of both sides by rung, with their intervals: full marks are told from zero."""
    rows = [row for row, _, _ in pairs]
    rungs = list(zip(rows, heights(rows), strict=True))
    span = rungs[-1][1] + 1
    figure = Figure(figsize=(WIDTH, ABOVE + ROW * span + BELOW), facecolor="white")
    sheet = panel(figure, (0, 1), span)
    draw_groups(sheet, rungs)
    for row, y in rungs:
        sheet.text(TITLES, y, short(row.title, 30), ha="right", va="center_baseline", color=INK)
    changes = panel(figure, BARS, span)
    axis(changes, "change to the parent, points of top-1", ticks=8)
    changes.axvline(0, color=INK, linewidth=0.9)
    for side, looks in enumerate(SIDES):
        for pair, (_, y) in zip(pairs, rungs, strict=True):
            _draw_change(changes, pair[side + 1], y + (2 * side - 1) * APART, looks)
    changes.autoscale(axis="x")
    height = figure.get_figheight()
    figure.text(MARGIN, 1 - 0.31 / height, "What each change did, in two ladders", fontsize=13, fontweight="bold")
    note = "Full marks: told from zero, with Holm's correction within each ladder. Lines: Welch's 95 % intervals."
    figure.text(MARGIN, 0.12 / height, note, fontsize=8, color=FAINT)
    handles = [
        Line2D([], [], linestyle="", markersize=5, label=f"{short(name, 50)} ({_about(pairs, side)})", **SIDES[side])
        for side, name in enumerate(names)
    ]
    place = (MARGIN, 0.29 / height)
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=place, ncols=2, frameon=False, borderpad=0, borderaxespad=0
    )
    return figure


def _draw_change(axes: Axes, row: Row | None, y: float, looks: dict[str, Any]) -> None:
    if row is None or row.change is None:
        return
    if row.change_low is not None and row.change_high is not None:
        axes.plot([row.change_low, row.change_high], [y, y], color=looks["color"], linewidth=1.4)
    face = looks["color"] if row.significant else "white"
    axes.plot(row.change, y, **looks, markersize=4.6, markerfacecolor=face, linestyle="", zorder=4)


def _about(pairs: Sequence[Pair], side: int) -> str:
    rows = [row for pair in pairs if (row := pair[side + 1]) is not None]
    seeds = sorted({row.n for row in rows if row.n})
    return f"{rows[0].data}, {' to '.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds" if seeds else rows[0].data


def _cells(row: Row | None) -> list[str]:
    if row is None or row.top1 is None:
        return ["", "", ""]
    spread = "" if row.top1_std is None else f" ± {row.top1_std:.2f}"
    change = "" if row.change is None else f"{row.change:+.2f}"
    if row.change_low is not None and row.change_high is not None:
        change += f" [{row.change_low:+.2f}, {row.change_high:+.2f}]"
    return [f"{row.top1:.2f}{spread}", change, {None: "", True: "yes", False: "no"}[row.significant]]

"""Two studies side by side: the changes of each step in both, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap.errors import ConfigError, require, require_plain_name
from roadmap.files import write_atomic
from roadmap.results import notes, paper
from roadmap.results.markup import change_text, markdown, top1_text, yes_no
from roadmap.results.table import Row, read_csv, table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pair = tuple[Row, Row | None, Row | None]  # a step as either side names it, and its rows on both sides
Sides = tuple[str, str]
ABOVE, OFFSET = 0.55, 0.19  # inches above the rows; of the marks of both sides, in rows
TITLES, CHANGES = 0.36, (0.38, 0.985)  # fractions of the width: right edge of the titles, panel
NOTE = "Filled marks: significant, with Holm's correction within each ladder. Lines: Welch's 95 % intervals."
MARKS: tuple[dict[str, Any], ...] = ({"marker": "o", "color": "#222222"}, {"marker": "D", "color": "#D55E00"})


def compare(a: str, b: str, results_dir: Path = Path("results")) -> list[Path]:
    """Write <results_dir>/compare/<a>--<b>.md, .png and .svg; returns their paths.

    A side is the name of a study, or `paper`: the published ladder with its three seeds. A ConfigError if a side has no
    table, both are the same, or no step has a change in both.
    """
    from roadmap.report.style import save, style

    require(a != b, "b", b, "another study than a")
    pairs = paired(rows_of(a, results_dir), rows_of(b, results_dir))
    if not any(x and y and x.change is not None and y.change is not None for _, x, y in pairs):
        raise ConfigError(f"a={a} b={b}: no step has a change in both")
    base = results_dir / "compare" / f"{a}--{b}"
    base.parent.mkdir(parents=True, exist_ok=True)
    page = base.with_name(f"{base.name}.md")
    write_atomic(page, to_markdown(pairs, (a, b)))
    with style():
        return [page, *save(draw(pairs, (a, b)), base)]


def rows_of(study: str, results_dir: Path) -> list[Row]:
    """The table of a study, or of the paper (ConfigError: none, a damaged one, or numbers that mean nothing)."""
    if study == paper.STUDY:
        return paper.paper_rows()
    table = read_csv(table_of(study, results_dir))
    require(table[0].compared, "study", study, "a study whose numbers mean something: not of study.purpose=plumbing")
    return table


def paired(a: Sequence[Row], b: Sequence[Row]) -> list[Pair]:
    """All steps of either side: those of the first in its order, then those of the second alone."""
    left, right = ({row.step: row for row in side} for side in (a, b))
    return [(row, left.get(name), right.get(name)) for name, row in (left | (right | left)).items()]


def to_markdown(pairs: Sequence[Pair], names: Sides) -> str:
    headings = ["step", *(heading for name in names for heading in (name, "change [95 % CI]", "significant"))]
    table = markdown(headings, [[row.step, *_cells(a), *_cells(b)] for row, a, b in pairs])
    return (
        f"# {names[0]} and {names[1]}\n\n"
        "Top-1 in percent, mean ± standard deviation over seeds; changes to the parent with Welch's interval of each\n"
        "change alone; significant: p below 0.05 with Holm's correction within each ladder.\n\n"
        f"{table}\n- {agreement(pairs)}\n"
    )


def agreement(pairs: Sequence[Pair]) -> str:
    """Kendall's tau of the accuracies of both sides, and how many of their changes have the same sign."""
    both = [(a, b) for _, a, b in pairs if a and b and a.learned and b.learned]
    steps = {a.step for a, _ in both}
    changed = [(a, b) for a, b in both if a.parent in steps and a.change is not None and b.change is not None]
    levels, changes = [(a.top1, b.top1) for a, b in both], [(a.change, b.change) for a, b in changed]
    significant = [(a.change, b.change) for a, b in changed if a.significant and b.significant]
    return notes.agreement(levels, changes, significant, "that are significant in both")


def draw(pairs: Sequence[Pair], names: Sides) -> Figure:
    """The changes of both sides by step, with their intervals; filled marks are significant."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from roadmap.report import style

    placed = list(zip([row for row, *_ in pairs], style.heights([row for row, *_ in pairs]), strict=True))
    span = placed[-1][1] + 1
    height = ABOVE + style.ROW * span + style.BELOW
    figure = Figure(figsize=(style.WIDTH, height), facecolor="white")
    background, changes = style.panel(figure, (0, 1), span), style.panel(figure, CHANGES, span)
    style.draw_groups(background, placed)
    style.axis(changes, "change to the parent, points of top-1", ticks=8)
    changes.axvline(0, color=style.INK, linewidth=0.9)
    for row, y in placed:
        background.text(TITLES, y, style.short(row.title, 30), ha="right", va="center_baseline", color=style.INK)
    handles = []
    for name, side, mark, offset in zip(names, (1, 2), MARKS, (-OFFSET, OFFSET), strict=True):
        rows = [(each, y + offset) for pair, (_, y) in zip(pairs, placed, strict=True) if (each := pair[side])]
        label = f"{style.short(name, 50)} ({rows[0][0].data}, {style.seeds([row for row, _ in rows])} seeds)"
        handles.append(Line2D([], [], linestyle="", markersize=5, label=label, **mark))
        for row, y in rows:
            if row.change_low is not None and row.change_high is not None:
                changes.plot([row.change_low, row.change_high], [y, y], color=mark["color"], linewidth=1.4)
            if row.change is not None:
                face = mark["color"] if row.significant else "white"
                changes.plot(row.change, y, **mark, markersize=4.6, markerfacecolor=face, linestyle="", zorder=4)
    changes.autoscale(axis="x")
    figure.text(
        style.MARGIN, 1 - 0.31 / height, "The change of each step in two ladders", fontsize=13, fontweight="bold"
    )
    figure.text(style.MARGIN, 0.12 / height, NOTE, fontsize=8, color=style.FAINT)
    corner: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (style.MARGIN, 0.29 / height)}
    figure.legend(handles=handles, ncols=2, frameon=False, borderpad=0, borderaxespad=0, **corner)
    return figure


def main(words: list[str]) -> int:
    """Compare two studies: results/compare/A--B.md, .png and .svg, the changes of both by step with their intervals.

        python scripts/compare.py a=fashion_mnist b=paper                                 with the published ladder
        python scripts/compare.py a=fashion_mnist b=fashion_mnist,recipe.smoothing=0      with another study

    a, b          names of studies, as their directories in results_dir; or paper. Default of b: paper
    results_dir   default results

    Reads <results_dir>/<study>/ladder.csv, which scripts/collate.py writes; without it, the published table.
    """
    from roadmap.cli import options

    chosen = options(words, {"a": "", "b": paper.STUDY, "results_dir": "results"})
    for key in ("a", "b"):
        require_plain_name(key, chosen[key])
    for path in compare(chosen["a"], chosen["b"], Path(chosen["results_dir"])):
        print(path)
    return 0


def _cells(row: Row | None) -> list[str]:
    if row is None or row.top1 is None:
        return ["", "", ""]
    return [top1_text(row), change_text(row), yes_no(row.significant)]

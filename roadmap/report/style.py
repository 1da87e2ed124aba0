"""The style of all figures: colours of the groups, fonts, panels, axes, and how a figure is saved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from roadmap.config.step_files import read_ladder
from roadmap.files import write_atomic
from roadmap.results.table import Row

# Okabe and Ito's palette: distinguishable with every common form of colour blindness. Groups take it in order.
PALETTE = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
INK, FAINT, BAND, GRID = "#222222", "#6E6E6E", "#F3F3F3", "#D8D8D8"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "hatch.linewidth": 1.2,
    "svg.hashsalt": "ladder",
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
}
WIDTH, ROW, ABOVE, BELOW = 8.5, 0.235, 0.98, 0.98  # inches
MARGIN = 0.012  # fraction of the width
GAP = 0.3  # between groups, in rows
Placed = Sequence[tuple[Row, float]]  # rows of a table with their y coordinates: downwards, one unit per row


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in this project's style, whatever matplotlib's settings are outside."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, byte for byte reproducible; `path` has no suffix. Returns both paths."""
    written = []
    for kind, omitted in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        written.append(path.with_name(f"{path.name}.{kind}"))
        write_atomic(written[-1], partial(figure.savefig, format=kind, dpi=200, metadata=omitted))
    return written


def groups(ladder: str) -> dict[str, tuple[str, str]]:
    """Title and colour of each group of a ladder."""
    titles = read_ladder(ladder).options.groups
    return {name: (title, colour) for (name, title), colour in zip(titles.items(), cycle(PALETTE), strict=False)}


def group(row: Row) -> tuple[str, str]:
    """Title and colour of a row's group; one that the ladder does not name keeps its name."""
    return groups(row.ladder).get(row.group, (row.group, INK))


def heights(rows: Sequence[Row]) -> list[float]:
    """The y coordinate of each row, with a gap between groups."""
    heights, y = [], -1.0
    for index, row in enumerate(rows):
        y += 1 + GAP * (index > 0 and row.group != rows[index - 1].group)
        heights.append(y)
    return heights


def panel(figure: Figure, across: tuple[float, float], span: float) -> Axes:
    """Bare axes between two fractions of the width; all panels share the y coordinates of the rows."""
    height = figure.get_figheight()
    axes = figure.add_axes((across[0], BELOW / height, across[1] - across[0], ROW * span / height))
    axes.set(xlim=(0, 1), ylim=(span - 0.5, -0.5))
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    return axes


def axis(axes: Axes, label: str, *, ticks: int) -> None:
    """A labelled x axis with grid at the bottom of a panel."""
    axes.tick_params(bottom=True, labelbottom=True, length=3, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, labelpad=3)
    axes.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.8)
    axes.autoscale(axis="x")
    axes.margins(x=0.1)


def draw_groups(axes: Axes, rows: Placed) -> None:
    """Titles of the groups beside their colour; every other group on grey."""
    for index, (_, members) in enumerate(groupby(rows, lambda placed: placed[0].group)):
        (first, *_), ys = zip(*members, strict=True)
        if index % 2 == 0:
            axes.axhspan(ys[0] - 0.5 - GAP / 2, ys[-1] + 0.5 + GAP / 2, color=BAND, linewidth=0)
        name, colour = group(first)
        axes.add_patch(Rectangle((0.004, ys[0] - 0.38), 0.005, ys[-1] - ys[0] + 0.76, color=colour, linewidth=0))
        axes.text(0.017, ys[0], name, va="center_baseline", fontweight="bold", fontsize=8)


def seeds(rows: Sequence[Row]) -> str:
    """The fewest and most seeds of the rows that were run: `3` or `1 to 3`."""
    counts = [row.n for row in rows if row.n]
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def short(text: str, length: int) -> str:
    """Text cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"

"""The sheet that figures of a ladder are drawn on: its style, heights of the rungs, groups, panels and axes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from roadmap.files import write_atomic
from roadmap.report.bars import FAINT, INK, Rungs, group
from roadmap.results.table import Row

BAND, GRID = "#F3F3F3", "#D8D8D8"
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
MARGIN = 0.012  # share of the width
GAP = 0.3  # between groups, in rows


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in this project's style, whatever is set outside."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes each time; `path` is without a suffix. Returns both paths."""
    written = []
    for kind, unsaid in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        written.append(path.with_name(f"{path.name}.{kind}"))
        write_atomic(written[-1], partial(figure.savefig, format=kind, dpi=200, metadata=unsaid))
    return written


def heights(rows: Sequence[Row]) -> list[float]:
    """Where each row stands, downwards, with a gap between groups."""
    heights, y = [], -1.0
    for index, row in enumerate(rows):
        y += 1 + GAP * (index > 0 and row.group != rows[index - 1].group)
        heights.append(y)
    return heights


def panel(figure: Figure, across: tuple[float, float], span: float) -> Axes:
    """Bare axes between two shares of the width; all panels share the heights of the rows."""
    height = figure.get_figheight()
    axes = figure.add_axes((across[0], BELOW / height, across[1] - across[0], ROW * span / height))
    axes.set(xlim=(0, 1), ylim=(span - 0.5, -0.5))
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    return axes


def axis(axes: Axes, label: str, *, ticks: int) -> None:
    """A scale along the bottom of a panel."""
    axes.tick_params(bottom=True, labelbottom=True, length=3, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, labelpad=3)
    axes.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.8)
    axes.autoscale(axis="x")
    axes.margins(x=0.1)


def draw_groups(sheet: Axes, rungs: Rungs) -> None:
    """The names of the groups beside their colour, every other one on grey."""
    for index, (key, members) in enumerate(groupby(rungs, lambda rung: rung[0].group)):
        ys = [y for _, y in members]
        if index % 2 == 0:
            sheet.axhspan(ys[0] - 0.5 - GAP / 2, ys[-1] + 0.5 + GAP / 2, color=BAND, linewidth=0)
        name, colour = group(key)
        sheet.add_patch(Rectangle((0.004, ys[0] - 0.38), 0.005, ys[-1] - ys[0] + 0.76, color=colour, linewidth=0))
        sheet.text(0.017, ys[0], name, va="center_baseline", fontweight="bold", fontsize=8)


def short(text: str, length: int) -> str:
    """Text of so many characters at most."""
    return text if len(text) <= length else text[: length - 1] + "…"

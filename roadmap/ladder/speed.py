"""Measured training steps: a table a machine, to which every measurement adds, and its figure."""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roadmap.files import write_atomic
from roadmap.ladder.bars import FAINT, group
from roadmap.ladder.sheet import GRID, save, style

PLAIN = "plain"
"""The arm that all others are measured against."""
OURS = ("float32", "bfloat16")
RELEASED = "convnext"
"""The group of the released network."""
MARKS = {PLAIN: "x", **dict(zip(OURS, "oD", strict=True))}


class Setting(NamedTuple):
    """What is the same for all rungs of a measurement."""

    regime: str
    img_size: int
    batch: int
    threads: int
    clock: str
    """wall, or cpu: time of the process where other work runs beside it."""

    def told(self) -> str:
        """The same in words."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.regime} regime at {self.img_size} pixels, batch {self.batch}, {threads}, {self.clock} time"


class Measured(NamedTuple):
    """One arm of one rung."""

    setting: Setting
    step: str
    group: str
    arm: str
    """plain, float32 or bfloat16 for ours, or the library whose network it is."""
    macs: int
    images_per_second: float
    ratio: float
    """Over plain: the median over rounds, in which all arms alternate; then the lowest and the highest."""
    low: float
    high: float
    flop_share: float
    """Of the highest rate that a matrix product or a dense convolution reached."""
    memory_share: float
    """Of the memory's bandwidth, if nothing but the layers' outputs moved."""
    rounds: int
    torch: str
    commit: str


COLUMNS = (*Setting._fields, *(field for field in Measured._fields if field != "setting"))
KINDS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("img_size", "batch", "threads", "macs", "rounds"), int),
    **dict.fromkeys(("images_per_second", "ratio", "low", "high", "flop_share", "memory_share"), float),
}


def file_name(cpu: str, cores: int, gpu: str | None) -> str:
    """A machine as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", (gpu or f"{cpu}-{cores}-cores").lower()).strip("-")


def record(path: Path, rows: Iterable[Measured]) -> list[Measured]:
    """Put rows into a table in place of those of the same arm; returns all there are."""
    kept = {(row.setting, row.step, row.arm): row for row in read(path)} if path.exists() else {}
    kept |= {(row.setting, row.step, row.arm): row for row in rows}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*row.setting, *(_short(value) for value in row[1:])] for row in kept.values())
    write_atomic(path, text.getvalue())
    return list(kept.values())


def read(path: Path) -> list[Measured]:
    """The rows of a table."""
    with path.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    return [_row(line) for line in lines]


def _row(line: dict[str, str]) -> Measured:
    values: dict[str, Any] = {key: KINDS.get(key, str)(value) for key, value in line.items()}
    setting = Setting(**{key: values.pop(key) for key in Setting._fields})
    return Measured(setting, **values)


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def plot(path: Path) -> list[Path]:
    """Draw the table's figure beside it, as .png and .svg: images a second against multiply-adds, a panel a setting."""
    panels = [(s, list(rows)) for s, rows in groupby(sorted(read(path), key=lambda r: r.setting), lambda r: r.setting)]
    with style():
        figure = Figure(figsize=(8.5, 0.5 + 4.3 * len(panels)), facecolor="white", layout="constrained")
        for axes, (setting, rows) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            _draw(axes, setting, rows)
        return save(figure, path.with_suffix(""))


def _draw(axes: Axes, setting: Setting, rows: Sequence[Measured]) -> None:
    """Every rung a column of marks over its multiply-adds, joined by a line, named at the lowest."""
    arms = [arm for arm in MARKS if any(row.arm == arm for row in rows)]
    shown = [row for row in rows if row.arm in arms]
    for step in dict.fromkeys(row.step for row in shown):
        members = sorted((row for row in shown if row.step == step), key=lambda row: row.images_per_second)
        x, colour = members[0].macs / 1e6, group(members[0].group)[1]
        axes.plot([x] * len(members), [row.images_per_second for row in members], color=colour, linewidth=1, alpha=0.5)
        for row in members:
            axes.plot([x], [row.images_per_second], marker=MARKS[row.arm], color=colour, linestyle="", markersize=5)
        axes.annotate(step, (x, members[0].images_per_second), (3, -9), textcoords="offset points", fontsize=6)
    axes.set(xscale="log", yscale="log", xlabel="multiply-adds an image, millions", ylabel="training images/s")
    rates = [row.images_per_second for row in shown]
    axes.set_ylim(0.75 * min(rates), 1.2 * max(rates))
    axes.grid(color=GRID, linewidth=0.7, which="both")
    axes.set_axisbelow(True)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    axes.set_title(setting.told(), loc="left", fontsize=9)
    handles = [Line2D([], [], color=FAINT, marker=MARKS[arm], linestyle="", label=_name(arm)) for arm in arms]
    axes.legend(handles=handles, frameon=False, loc="lower left")


def _name(arm: str) -> str:
    return "plain step, float32" if arm == PLAIN else f"this project, {arm}"


def conclusions(rows: Sequence[Measured]) -> list[str]:
    """A line a setting and precision: how many times as fast as plain the rungs of the paper's road are.

    The released network at its end, which is not one of its steps, is left out of the mean.
    """
    lines = []
    for setting, arm in sorted({(row.setting, row.arm) for row in rows if row.arm in OURS}):
        ratios = {r.step: r.ratio for r in rows if (r.setting, r.arm) == (setting, arm) and r.group != RELEASED}
        if not ratios:
            continue
        least, mean = min(ratios, key=ratios.__getitem__), geometric_mean(list(ratios.values()))
        over = f"geometric mean of {len(ratios)} rungs; least {ratios[least]:.2f}, `{least}`"
        lines.append(f"{setting.told()}, {arm}: {mean:.2f} times ({over})")
    return lines


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios, of which there is at least one."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))

"""Measured training steps: a table a machine, to which every measurement adds, and its figure."""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roadmap.config.steps import steps
from roadmap.files import write_atomic
from roadmap.report.style import FAINT, GRID, group, save, style

PLAIN = "plain"
"""The arm that all others are measured against."""
COMPILED = "bfloat16, compiled"
OURS = ("float32", "bfloat16", COMPILED)
AUTOCAST = "plain, bfloat16"
"""The plain step under torch's autocast."""
RELEASED = "convnext"
"""The group of the released network."""
MARKS = {PLAIN: "x", AUTOCAST: "+", **dict(zip(OURS, "oDs", strict=True))}


class Setting(NamedTuple):
    """What is the same for all rungs of a measurement."""

    regime: str
    img_size: int
    batch: int
    threads: int
    clock: str
    """wall, or cpu: time of the process where other work runs beside it."""

    def told(self) -> str:
        """The same in words; one thread and wall time go without saying."""
        told = f"{self.regime} regime at {self.img_size} pixels, batch {self.batch}"
        told += f", {self.threads} threads" if self.threads > 1 else ""
        return told + (", CPU time" if self.clock == "cpu" else "")


class Measured(NamedTuple):
    """One arm of one rung."""

    setting: Setting
    step: str
    group: str
    arm: str
    """PLAIN, AUTOCAST, one of OURS, or the library whose network it is."""
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


def show(path: Path) -> list[Path]:
    """Put a table for people (.md) and its figure (.png, .svg) beside a table."""
    rows = read(path)
    panels = [
        (setting, [row for row in rows if row.setting == setting]) for setting in sorted({r.setting for r in rows})
    ]
    text = [f"# {path.stem}", *(_for_people(setting, members) for setting, members in panels)]
    text += ["\n".join(f"- {line}" for line in conclusions(rows))]
    write_atomic(path.with_suffix(".md"), "\n\n".join(text) + "\n")
    return [path.with_suffix(".md"), *_plot(path, panels)]


def _for_people(setting: Setting, rows: Sequence[Measured]) -> str:
    """A line a rung: what plain does, and what the others do, as ratios with their spread."""
    first, arms = rows[0], [arm for arm in dict.fromkeys(row.arm for row in rows) if arm != PLAIN]
    heads = ["rung", "plain, images/s", *arms, *(f"{arm}, of the FLOPs, of the memory" for arm in arms if arm in OURS)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for step in dict.fromkeys(row.step for row in rows):
        found = {row.arm: row for row in rows if row.step == step}
        cells = [f"`{step}`", f"{found[PLAIN].images_per_second:,.4g}"]
        cells += [f"{m.ratio:.2f} ({m.low:.2f} to {m.high:.2f})" if (m := found.get(arm)) else "" for arm in arms]
        ours = [found.get(arm) for arm in arms if arm in OURS]
        cells += [f"{m.flop_share:.0%}, {m.memory_share:.0%}" if m else "" for m in ours]
        lines.append("| " + " | ".join(cells) + " |")
    title = f"{setting.told()}; times plain, from lowest to highest of {first.rounds} rounds. torch {first.torch}."
    return "\n".join([title[0].upper() + title[1:], "", *lines])


def _plot(path: Path, panels: Sequence[tuple[Setting, Sequence[Measured]]]) -> list[Path]:
    """Images a second against multiply-adds, a panel a setting."""
    with style():
        figure = Figure(figsize=(8.5, 0.5 + 4.3 * len(panels)), facecolor="white", layout="constrained")
        for axes, (setting, rows) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            _draw(axes, setting, _on_path(rows))
        return save(figure, path.with_suffix(""))


def _draw(axes: Axes, setting: Setting, rows: Sequence[Measured]) -> None:
    """Every rung a column of marks over its multiply-adds, joined by a line, with its name beside the lowest."""
    arms = [arm for arm in MARKS if any(row.arm == arm for row in rows)]
    shown = [row for row in rows if row.arm in arms]
    lowest = []
    for step in dict.fromkeys(row.step for row in shown):
        members = sorted((row for row in shown if row.step == step), key=lambda row: row.images_per_second)
        x, colour = members[0].macs / 1e6, group(members[0].group)[1]
        axes.plot([x] * len(members), [row.images_per_second for row in members], color=colour, linewidth=1, alpha=0.5)
        for row in members:
            axes.plot([x], [row.images_per_second], marker=MARKS[row.arm], color=colour, linestyle="", markersize=5)
        lowest.append((x, members[0].images_per_second, step))
    axes.set(xlabel="multiply-adds an image, millions", ylabel="training images/s")
    axes.set_ylim(0, 1.05 * max(row.images_per_second for row in shown))
    axes.margins(x=0.12)
    _label(axes, lowest)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    axes.set_title(setting.told(), loc="left", fontsize=9)
    handles = [Line2D([], [], color=FAINT, marker=MARKS[arm], linestyle="", label=_name(arm)) for arm in arms]
    axes.legend(handles=handles, frameon=False, loc="lower left")


def _label(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Put a name right of each point (x, y, name), lower where another one is in the way."""
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    letter, line = (right - left) / 150, top / 36  # of the plot, at this size of figure and of letters
    placed: list[tuple[float, float, float]] = []
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        start, end, own = x + 1.5 * letter, x + (2 + len(name)) * letter, y
        while any(start < b and a < end and abs(own - other) < line for a, b, other in placed):
            own -= line / 4
        placed.append((start, end, own))
        axes.annotate(
            name,
            (x, y),
            (start, own),
            fontsize=6.5,
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": FAINT, "shrinkB": 3, "relpos": (0, 0.5)},
        )


def _name(arm: str) -> str:
    return {PLAIN: "plain step, float32", AUTOCAST: "plain step, bfloat16"}.get(arm, f"this project, {arm}")


def conclusions(rows: Sequence[Measured]) -> list[str]:
    """A line a setting and precision: how many times as fast as plain the rungs of the paper's path are.

    The released network at its end, which is not one of its steps, is left out of the mean.
    """
    lines = []
    for setting, arm in sorted({(row.setting, row.arm) for row in rows if row.arm in (*OURS, AUTOCAST)}):
        own = [row for row in rows if (row.setting, row.arm) == (setting, arm) and row.group != RELEASED]
        ratios = {row.step: row.ratio for row in _on_path(own)}
        if not ratios:
            continue
        least, mean = min(ratios, key=ratios.__getitem__), geometric_mean(list(ratios.values()))
        over = f"geometric mean of {len(ratios)} rungs; least {ratios[least]:.2f}, `{least}`"
        lines.append(f"{setting.told()}, {arm}: {mean:.2f} times ({over})")
    return lines


def _on_path(rows: Sequence[Measured]) -> Sequence[Measured]:
    """Those of the path's rungs, or all where there are none."""
    path = {rung.name for rung in steps() if rung.main_sequence}
    return [row for row in rows if row.step in path] or rows


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios, of which there is at least one."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))

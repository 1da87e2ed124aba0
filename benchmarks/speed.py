"""Measured training steps: one table per machine (results/bench/<machine>.csv), its Markdown and its figure.

A row is a method on a step in a setting. Its ratio to the baseline is the median over rounds, in which all methods
alternate, with the lowest and the highest. `flop_share` is of the highest rate that a matrix product or a dense conv
reached; `memory_share` is of the memory's bandwidth if only the outputs of layers moved.
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roadmap.config.aliases import COLUMN_VALUES, COLUMNS
from roadmap.config.steps import steps
from roadmap.files import write_atomic
from roadmap.report.style import GRID, save, style

BASELINE, AUTOCAST, COMPILED = "baseline", "baseline, bfloat16", "bfloat16, compiled"
OURS = ("float32", "bfloat16", COMPILED)
RELEASED = "convnext"
"""The group of the released network, which is not one of the paper's steps."""
MARKS = {BASELINE: "x", AUTOCAST: "+", **dict(zip(OURS, "oDs", strict=True))}
SETTING = ["regime", "img_size", "batch", "threads", "clock"]
KEY = [*SETTING, "step", "method"]


def file_name(cpu: str, cores: int, gpu: str | None) -> str:
    """A machine as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", (gpu or f"{cpu}-{cores}-cores").lower()).strip("-")


def read(path: Path) -> pd.DataFrame:
    """The rows of a table."""
    table = pd.read_csv(path, dtype={"torch": str, "commit": str}).rename(columns=COLUMNS)
    return table.replace({"method": COLUMN_VALUES["method"]})


def record(path: Path, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Add rows to a table, in place of those of the same method, step and setting; returns the whole table."""
    new = pd.DataFrame(rows)
    table = pd.concat([read(path), new]) if path.exists() else new
    table = table.groupby(KEY, sort=False, as_index=False).last()[list(table.columns)]
    write_atomic(path, table.to_csv(index=False, float_format="%.4g"))
    return table


def show(path: Path) -> list[Path]:
    """Write the Markdown and the figure of a table beside it."""
    table = read(path)
    panels = [(described(setting), rows) for setting, rows in table.groupby(SETTING)]
    text = [f"# {path.stem}", *(_markdown(title, rows) for title, rows in panels)]
    text += ["\n".join(f"- {line}" for line in notes(table))]
    write_atomic(path.with_suffix(".md"), "\n\n".join(text) + "\n")
    with style():
        figure = Figure(figsize=(8.5, 0.5 + 3.6 * len(panels)), facecolor="white", layout="constrained")
        for axes, (title, rows) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            _draw(axes, title, _main_sequence(rows))
        return [path.with_suffix(".md"), *save(figure, path.with_suffix(""))]


def described(setting: Sequence[Any]) -> str:
    """A setting in words, without one thread and wall time."""
    regime, img_size, batch, threads, clock = setting
    text = f"{regime} regime at {img_size} pixels, batch {batch}"
    text += f", {threads} threads" if threads > 1 else ""
    return text + (", CPU time" if clock == "cpu" else "")


def notes(table: pd.DataFrame) -> list[str]:
    """One line per setting and method: the speed of the main sequence's steps relative to the baseline."""
    lines = []
    of_paper = table[table.method.isin([*OURS, AUTOCAST]) & (table.group != RELEASED)]
    for (*setting, method), rows in of_paper.groupby([*SETTING, "method"]):
        ratios = _main_sequence(rows).set_index("step").ratio
        mean = math.exp(ratios.map(math.log).mean())
        over = f"geometric mean of {len(ratios)} steps; lowest {ratios.min():.2f}, `{ratios.idxmin()}`"
        lines.append(f"{described(setting)}, {method}: {mean:.2f} times ({over})")
    return lines


def _main_sequence(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main sequence, or all if there are none."""
    names = [step.name for step in steps() if step.main_sequence]
    return rows[rows.step.isin(names)] if rows.step.isin(names).any() else rows


def _markdown(title: str, rows: pd.DataFrame) -> str:
    """One line per step: the speed of the baseline, and the ratios of the other methods with their range."""
    methods = [method for method in rows.method.unique() if method != BASELINE]
    ours = [method for method in methods if method in OURS]
    heads = ["step", "baseline, images/s", *methods, *(f"{method}, share of FLOPs, of memory" for method in ours)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for step, found in rows.groupby("step", sort=False):
        of = {row.method: row for row in found.itertuples()}
        cells = [f"`{step}`", f"{of[BASELINE].images_per_second:,.4g}"]
        cells += [f"{m.ratio:.2f} ({m.low:.2f} to {m.high:.2f})" if (m := of.get(each)) else "" for each in methods]
        cells += [f"{m.flop_share:.0%}, {m.memory_share:.0%}" if (m := of.get(each)) else "" for each in ours]
        lines.append("| " + " | ".join(cells) + " |")
    about = f"ratio to the baseline, lowest to highest of {rows.rounds.iloc[0]} rounds. torch {rows.torch.iloc[0]}."
    return "\n".join([f"{title[0].upper()}{title[1:]}; {about}", "", *lines])


def _draw(axes: Axes, title: str, rows: pd.DataFrame) -> None:
    """Images per second of each step, one kind of mark per method."""
    places = {step: place for place, step in enumerate(rows.step.unique())}
    for method, mark in MARKS.items():
        found = rows[rows.method == method]
        name = method if method in (BASELINE, AUTOCAST) else f"this project, {method}"
        if len(found):
            axes.plot(found.images_per_second, found.step.map(places), mark, markersize=5, label=name)
    axes.set_yticks(list(places.values()), list(places))
    axes.set(xlabel="training images per second", ylim=(len(places) - 0.5, -0.5))
    axes.set_xlim(left=0)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(frameon=False)

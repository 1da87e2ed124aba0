"""Training curves as a figure: loss to the left, accuracy to the right, a line a rung."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from roadmap.config.steps import Step
from roadmap.errors import ConfigError
from roadmap.report.bars import FAINT, group
from roadmap.report.style import GRID
from roadmap.results.curves import Point

PANELS = {"loss": "training loss", "top1": "top-1, %"}
SIZE = (8.5, 3.4)  # inches
DASHES = ("-", "--", ":", "-.")


def draw_curves(points: Sequence[Point], rungs: Sequence[Step]) -> Figure:
    """Means over the seeds by epoch, in the colours of the ladder; draw inside `roadmap.report.style.style`.

    Raises:
        ConfigError: there is no point.
    """
    if not points:
        raise ConfigError("no curves: no run has left its metrics")
    figure = Figure(figsize=SIZE, facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    for axes, (key, label) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, label)
        _draw(axes, points, key, {rung.name: rung for rung in rungs})
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def means(points: Sequence[Point], key: str) -> dict[str, list[tuple[int, float]]]:
    """Of each rung, in the order they come, the epochs and the mean over the seeds that have got there."""
    found: dict[str, dict[int, list[float]]] = {}
    for point in points:
        found.setdefault(point.step, {}).setdefault(point.epoch, []).append(getattr(point, key))
    return {rung: [(epoch, fmean(values)) for epoch, values in sorted(by.items())] for rung, by in found.items()}


def _panel(axes: Axes, label: str) -> None:
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set(color=FAINT, linewidth=0.8)


def _draw(axes: Axes, points: Sequence[Point], key: str, rungs: Mapping[str, Step]) -> None:
    """The rungs of a group share its colour, and are told apart by their dashes."""
    curves = means(points, key)
    places = {name: place for place, name in enumerate(rungs)}
    in_order = sorted(curves, key=lambda name: places.get(name, len(places)))
    for kind, members in groupby(in_order, lambda name: rungs[name].group if name in rungs else "own"):
        for place, name in enumerate(members):
            epochs, values = zip(*curves[name], strict=True)
            style, title = DASHES[place % len(DASHES)], rungs[name].title if name in rungs else name
            axes.plot(epochs, values, style, color=group(kind)[1], marker="o", markersize=2.5, label=title)

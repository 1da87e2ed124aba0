import itertools
import math
from typing import Any

import pytest
from helpers.synthetic import ladder, result
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from roadmap.report.figure import draw
from roadmap.report.style import style
from roadmap.results.collate import rows

IMAGENET: dict[str, Any] = {"data__name": "imagenet", "regime__name": "resnet50"}


def panels(figure: Figure) -> list[Axes]:
    """The panels with an x axis: the bars, and the paper's ladder if it has a panel."""
    return [axes for axes in figure.axes if axes.get_xlabel()]


def whiskers(axes: Axes) -> int:
    return sum(isinstance(c, ErrorbarContainer) for c in axes.containers) // 2  # each is drawn twice, with a white rim


def lines(axes: Axes, length: int) -> list[list[float]]:
    """The x values of the lines of `length` points."""
    return [list(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == length]


def test_bars_are_the_means_and_side_steps_are_hatched() -> None:
    table = rows(ladder(seeds=2))
    panel = panels(draw(table))[0]
    bars = [container.patches[0] for container in panel.containers if isinstance(container, BarContainer)]
    assert [bar.get_width() for bar in bars] == [row.top1 for row in table]
    hatched = [row.step for row, bar in zip(table, bars, strict=True) if bar.get_hatch()]
    assert hatched == ["kernel_5", "kernel_9", "kernel_11"]
    assert whiskers(panel) == 18
    low, high = panel.get_xlim()
    assert low < min(bar.get_width() for bar in bars) - 1 and high > 89
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # downwards


def test_the_main_sequence_skips_side_steps_and_breaks_at_a_missing_step() -> None:
    table = rows([r for r in ladder() if r["step"] != "gelu"])
    (sequence,) = lines(panels(draw(table))[0], 15)
    wanted = [row.top1 for row in table if row.main_sequence]
    assert wanted.count(None) == 1
    assert [None if math.isnan(x) else x for x in sequence] == wanted
    low, high = panels(draw(rows([result("layer_scale")])))[0].get_xlim()
    assert low < 80 < high, "one finished step is enough"


def test_a_small_study_of_one_seed_has_a_panel_for_the_paper_and_no_whiskers() -> None:
    figure = draw(rows(ladder()))
    study, paper = panels(figure)
    assert whiskers(study) == 0 and any("One seed: no whiskers" in text.get_text() for text in figure.texts)
    assert (study.get_xlabel(), paper.get_xlabel()) == ("top-1 on fashion_mnist, %", "top-1 on imagenet, %")
    marks = [line.get_xdata()[0] for line in paper.get_lines() if len(line.get_xdata()) == 1]
    assert marks == [row.paper_top1 for row in rows(ladder()) if row.paper_top1]
    assert study.get_ylim() == paper.get_ylim()
    assert not any("Swin" in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(("regime", "name", "top1"), [("resnet50", "Swin-T", 81.3), ("resnet200", "Swin-B", 83.5)])
def test_on_imagenet_the_paper_and_swin_share_the_axis(regime: str, name: str, top1: float) -> None:
    figure = draw(rows(ladder(**IMAGENET | {"regime__name": regime})))
    (panel,) = panels(figure)
    assert [top1, top1] in lines(panel, 2)
    assert any(text.get_text() == f"{name} {top1}" for text in panel.texts)
    (marks,) = lines(panel, 17)
    assert marks == [row.paper_top1 for row in rows(ladder(regime__name=regime)) if row.paper_top1]
    assert panel.get_xlim()[0] < min(marks) and panel.get_xlim()[1] > max(marks)


def shown_texts(figure: Figure) -> list[Text]:
    texts = list(figure.texts) + [text for legend in figure.legends for text in legend.get_texts()]
    texts += [text for axes in figure.axes for text in axes.texts]
    for axes in panels(figure):
        low, high = axes.get_xlim()
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        texts += [axes.xaxis.label, *(label for tick, label in ticks if low <= tick <= high)]
    return [text for text in texts if text.get_text()]


def clashes(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of overlapping texts, and texts that are cut off."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    width, height = canvas.get_width_height()
    cut = [(a, "") for a, x in boxes if x.x0 < 0 or x.y0 < 0 or x.x1 > width or x.y1 > height]
    return cut + [(a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.overlaps(y)]


@pytest.mark.parametrize("changes", [{}, IMAGENET, {"study__name": "a" * 119}])
def test_no_text_overlaps_or_is_cut_off(changes: dict[str, Any]) -> None:
    own = result("own", like="gelu", step__title="A very long title for a custom step, $5 each", **changes)
    table = rows([*ladder(seeds=3, **changes), own])
    with style():
        figure = draw(table)
        assert clashes(figure) == []
        assert len(shown_texts(figure)) > 70

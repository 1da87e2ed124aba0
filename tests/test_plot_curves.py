"""Training curves as a figure."""

import pytest
from matplotlib.colors import to_hex

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.report.bars import group
from roadmap.report.curve_figure import draw_curves, means
from roadmap.report.figure import style
from roadmap.results.curves import Point

POINTS = [
    Point("gelu", 0, 1, 2.0, 50.0, 40.0),
    Point("gelu", 0, 2, 1.0, 60.0, 50.0),
    Point("gelu", 1, 1, 4.0, 52.0, 44.0),  # the second seed has got no further
    Point("resnet", 0, 1, 3.0, 30.0, 20.0),
    Point("mine", 0, 1, 5.0, 10.0, 10.0),
]


def test_a_curve_is_the_mean_over_the_seeds_that_have_got_there() -> None:
    assert means(POINTS, "loss") == {"gelu": [(1, 3.0), (2, 1.0)], "resnet": [(1, 3.0)], "mine": [(1, 5.0)]}
    assert means(POINTS, "top1")["gelu"] == [(1, 51.0), (2, 60.0)]


def test_curves_stand_in_the_order_and_the_colours_of_the_ladder() -> None:
    with style():
        loss, top1 = draw_curves(POINTS, steps()).axes
    lines = loss.get_lines()
    assert [line.get_label() for line in lines] == ["ResNet", "ReLU to GELU", "mine"]
    assert [to_hex(line.get_color()).upper() for line in lines] == [group(g)[1] for g in ("start", "micro", "own")]
    assert list(lines[1].get_ydata()) == [3.0, 1.0]
    assert list(top1.get_lines()[1].get_ydata()) == [51.0, 60.0]


def test_no_points_are_no_figure() -> None:
    with pytest.raises(ConfigError, match="no run has left its metrics"):
        draw_curves([], steps())

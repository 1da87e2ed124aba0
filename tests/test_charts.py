from pathlib import Path

import pytest
from helpers.report import RESULTS, drawn, gathered

from roadmap.report.charts import front

pytestmark = pytest.mark.xdist_group("report")


def test_no_step_beats_the_pareto_front() -> None:
    places = {"a": (1.0, 80.0), "b": (2.0, 79.0), "c": (2.0, 82.0), "d": (3.0, 82.0), "e": (4.0, 83.0)}
    steps = [{"step": r, "gflops": x, "images_per_second": x, "top1": y} for r, (x, y) in places.items()]
    assert [step["step"] for step in front(steps, "gflops")] == ["a", "c", "e"]
    assert [step["step"] for step in front(steps, "images_per_second")] == ["e"]


def test_charts_are_drawn_as_far_as_the_data_go_and_hold_the_values_of_the_table(half: Path) -> None:
    cost = {"gflops", "images_per_second", "seconds"}
    assert set(drawn("fashion_mnist")) >= {"levels", "changes", "agreement"} | cost
    # All steps of the recipe ladder have one network, and the paper has no accuracies of the parts of its recipe.
    assert set(drawn("fashion_mnist_recipe")) == {"levels", "changes"} | cost - {"gflops"}
    found = drawn("smoke", half)
    assert {"curve_top1", "curve_loss", "levels"} < set(found) and "agreement" not in found, "of three steps"
    assert all(chart["width"] == "container" for chart in found.values())
    report = gathered("fashion_mnist", RESULTS)
    values = {step["step"]: (step["top1"], step["change"]) for step in report["steps"]}
    for chart in ("levels", "changes"):
        held = next(held for held in drawn("fashion_mnist")[chart]["datasets"].values() if len(held) == 18)
        assert {step["step"]: (step["top1"], step["change"]) for step in held} == values


def test_the_first_and_the_last_step_are_named_where_fewest_curves_end() -> None:
    for name, sides in (("curve_top1", {"ResNet": 15, "Layer scale (ConvNeXt)": -10}),
                        ("curve_loss", {"ResNet": -10, "Layer scale (ConvNeXt)": 15})):  # fmt: skip
        chart = drawn("fashion_mnist")[name]
        found = {}
        for layer in chart["layer"]:
            if layer["mark"]["type"] == "text" and layer["mark"].get("dx") == -4:
                (title,) = {point["title"] for point in chart["datasets"][layer["data"]["name"]]}
                found[title] = layer["mark"]["dy"]
        assert found == sides

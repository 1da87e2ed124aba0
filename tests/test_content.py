from pathlib import Path
from typing import Any

import pytest
from helpers.report import RESULTS, gathered
from helpers.synthetic import result, write

from roadmap.report.content import gather
from roadmap.results.collate import collate
from roadmap.results.table import read_csv

pytestmark = pytest.mark.xdist_group("report")


def by_step(report: dict[str, Any]) -> dict[str, Any]:
    return {step["step"]: step for step in report["steps"]}


def collated(root: Path, *results: dict[str, Any]) -> dict[str, Any]:
    """The report of made-up runs."""
    study = write(root / "runs", results).name
    collate(study, root / "runs", root / "results")
    return gather(study, root / "results")


def test_the_numbers_are_those_of_the_table(half: Path) -> None:
    for study, directory in (("fashion_mnist", RESULTS), ("fashion_mnist_recipe", RESULTS), ("smoke", half)):
        table = {row.step: row for row in read_csv(directory / study / "ladder.csv")}
        steps = by_step(gathered(study, directory))
        assert list(steps) == list(table)
        for key in ("n", "top1", "top1_std", "change", "change_low", "change_high", "significant", "p_holm", "params",
                    "gflops", "images_per_second", "seconds", "paper_top1", "paper_change"):  # fmt: skip
            assert {n: step[key] for n, step in steps.items()} == {n: getattr(row, key) for n, row in table.items()}


def test_texts_say_what_the_row_says_in_numbers() -> None:
    texts = by_step(gathered("fashion_mnist", RESULTS))["gelu"]["texts"]
    row = next(row for row in read_csv(RESULTS / "fashion_mnist" / "ladder.csv") if row.step == "gelu")
    assert texts["top1"] == f"{row.top1:.2f} ± {row.top1_std:.2f} %, n = {row.n}"
    interval = f"{row.change:+.2f} [{row.change_low:+.2f}, {row.change_high:+.2f}]"
    assert texts["change"].startswith(f"{interval} vs. Kernel size 7, significant (p 0.")
    assert texts["cost"].startswith("0.434 M parameters, 1.48 MFLOPs, 2,140 images/s, 2.00 min per run")
    assert texts["changes"] == "model.act: relu → gelu"


def test_unknown_values_are_blank(half: Path) -> None:
    steps = by_step(gathered("smoke", half))
    blank = steps["kernel_9"]
    assert (blank["n"], blank["top1"], blank["change"], blank["seconds"], blank["seeds"]) == (0, None, None, None, {})
    assert (blank["texts"]["top1"], blank["texts"]["cost"], blank["stages"]) == ("not run", "", None)
    assert blank["changes"] == [("model.kernel_size", "3", "9")] and blank["drawings"]
    significance = {name: step["significance"] for name, step in steps.items()}
    assert significance["resnet"] is None
    assert significance["gelu"] == significance["kernel_9"] == "blank"  # the parent of gelu has no run
    assert significance["training_recipe"] == "significant" and significance["mine"] == "single"


def test_changes_are_listed_as_the_runs_have_them_and_those_of_a_custom_step_with_its_network(half: Path) -> None:
    steps = by_step(gathered("smoke", half))
    recipe, mine = steps["training_recipe"], steps["mine"]
    assert recipe["changes"] == [("recipe", "original", "modern")]
    assert ("recipe.opt", "sgd", "adamw") in recipe["in_runs"]
    assert mine["changes"] == [("model.width", "24", "32")]
    assert mine["parent_title"] == "ReLU to GELU"
    block, stem = mine["drawings"]
    assert stem["part"] == "stem" and "4×4 conv, 32, stride 4" in stem["after"]
    assert "1×1 conv, 96" in block["before"] and "1×1 conv, 128" in block["after"]


def test_variants_of_a_design_are_compared_with_their_baseline(tmp_path: Path) -> None:
    named = {"study__name": "smoke,design=leave_one_out", "study__design": "leave_one_out"}
    base = [result("layer_scale", seed, **named) for seed in (0, 1)]
    without = [result("without_gelu", s, like="gelu", step__parent="layer_scale", **named) for s in (0, 1)]
    report = collated(tmp_path, *base, *without)
    steps = by_step(report)
    assert report["title"] == "Leave one out: the end of the main sequence without each change"
    assert report["facts"]["Cannot be combined"] == "none: every variant is a network"
    assert steps["layer_scale"]["changes"] == [] and steps["layer_scale"]["significance"] is None
    assert steps["without_gelu"]["significance"] == "insignificant"
    not_run = steps["without_large_kernel"]
    assert (not_run["n"], not_run["changes"]) == (0, [("model.kernel_size", "7", "3")])
    assert "3×3 depthwise conv" in not_run["drawings"][0]["after"]


def test_metrics_and_stages_are_those_of_the_results_and_equal_titles_have_the_name(tmp_path: Path) -> None:
    stage = {"name": "stem", "channels": 24, "size": 8, "params": 1200, "macs": 3400}
    results = [result("resnet", seed) | {"stages": [stage]} for seed in (0, 1)] + [result("training_recipe")]
    for each, ece in zip(results, (0.12, 0.14), strict=False):
        each["metrics"]["ece"] = ece
    two = [result(name, like="gelu", step__title="Mine") for name in ("a", "b")]
    report = collated(tmp_path, *results, *two)
    assert report["columns"][-1] == ("ece", "ece")
    steps = by_step(report)
    assert steps["training_recipe"]["stages"] is None and steps["resnet"]["stages"] == {
        "headings": ["parameters, k", "multiply-adds, k"],
        "rows": [("stem", "24×8×8", "1.20", "3.40"), ("total", "", "1.20", "3.40")],
    }
    assert (steps["a"]["title"], steps["b"]["title"]) == ("Mine (a)", "Mine (b)")
    assert steps["resnet"]["cells"][-1] == (pytest.approx(0.13), "0.130 ± 0.014")
    assert steps["resnet"]["texts"]["metrics"] == "0.130 ± 0.014 ece"
    assert steps["training_recipe"]["cells"][-1] == steps["stage_ratio"]["cells"][-1] == (None, "")


def test_a_network_is_never_compared_with_one_of_another_size(tmp_path: Path) -> None:
    steps = by_step(collated(tmp_path, *(result(step, model__width=6) for step in ("gelu", "fewer_activations"))))
    assert [len(steps[name]["drawings"]) for name in ("gelu", "fewer_activations")] == [1, 1]  # the stem is the same
    assert "1×1 conv, 96" in steps["gelu"]["drawings"][0]["after"]  # its parent has no run
    assert "1×1 conv, 24" in steps["fewer_activations"]["drawings"][0]["after"]

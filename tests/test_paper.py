"""The published ladder, the agreement with it, and its own three seeds through the statistics."""

from pathlib import Path

from helpers.synthetic import ladder, result

from roadmap.config.steps import steps
from roadmap.results.collate import report, rows
from roadmap.results.paper import deviations, main, paper_rows, published, to_beat
from roadmap.results.statistics import LEVEL, holm

RESULTS = Path(__file__).parents[1] / "results" / "published"
NOT_SIGNIFICANT = {"patchify_stem", "gelu", "fewer_norms", "layer_norm"}


def test_other_regimes_are_compared_with_the_smaller_one() -> None:
    assert published("micro") == published("resnet50")
    assert published("resnet200")["gelu"].top1 == 82.19
    assert len(published("resnet200")) == 17 and "layer_scale" not in published("resnet200")
    assert (to_beat("resnet50"), to_beat("resnet200")) == (("Swin-T", 81.3), ("Swin-B", 83.5))


def test_of_the_recipe_ladder_the_paper_has_both_ends() -> None:
    ends = published("resnet50", "recipe")
    assert {step: row.top1 for step, row in ends.items()} == {"resnet": 76.13, "stochastic_depth": 78.82}


def test_agreement_with_the_paper() -> None:
    results = ladder(seeds=2)
    page = report(rows(results), results)
    # All our changes are positive; of the paper's 16, depthwise_conv and move_up_depthwise are negative.
    assert "over 17 steps; 14 of 16 changes have the same sign (88%)" in page
    assert "(ResNet-50 regime, Table 10)" in page
    few = [each for each in results if each["step"] in ("resnet", "gelu", "layer_norm", "layer_scale")]
    said = "not stated: 3 steps with a top-1 above guessing, at least 5 are needed"  # the paper has no layer_scale
    assert said in report(rows(few), few)
    guesses = [result(step.name, correct=1050) for step in steps()]  # within the error of 10 %
    assert "not stated: no step with a top-1 above guessing" in report(rows(guesses), guesses)


def test_a_study_that_tries_the_code_path_is_not_compared() -> None:
    results = ladder(seeds=2, study__purpose="plumbing")
    table = rows(results)
    assert all(row.change is row.p is row.paper_top1 is None for row in table) and table[1].top1 == 80.55
    page = report(table, results)
    assert "(study.purpose=plumbing): its numbers mean nothing and are not compared." in page
    assert "Kendall" not in page and "Agreement" not in page


def test_deviations_are_listed() -> None:
    results = [result("resnet"), result("training_recipe", 0), result("training_recipe", 1)]
    results[0]["deviations"], results[1]["deviations"] = {"recipe.epochs": [2, 90]}, {"recipe.epochs": [2, 300]}
    assert deviations(results) == [("recipe.epochs", "2", "90 or 300"), ("seeds", "1 or 2", "3")]
    page = report(rows(results), results)
    assert page.endswith(
        "\n\n## Deviations from the paper\n\n| option | here | in the paper |\n|---|--:|--:|\n"
        "| recipe.epochs | 2 | 90 or 300 |\n| seeds | 1 or 2 | 3 |\n"
    )


def test_the_committed_table_is_made_by_the_command(tmp_path: Path) -> None:
    assert main([f"results_dir={tmp_path}"]) == 0
    for name in ("ladder.csv", "ladder.md"):
        assert (tmp_path / "paper" / name).read_text() == (RESULTS / "paper" / name).read_text()


def test_four_of_thirteen_changes_of_the_main_sequence_are_not_significant_and_one_cannot_be_tested() -> None:
    sequence = [row for row in paper_rows() if row.main_sequence and row.change is not None]
    assert len(sequence) == 13
    tested = [row for row in sequence if row.p is not None]
    assert {row.step for row in sequence} - {row.step for row in tested} == {"training_recipe"}
    assert {row.step for row in tested if row.significant is False} == NOT_SIGNIFICANT
    alone = {row.step for row in tested if row.p is not None and row.p >= LEVEL}
    corrected = holm([row.p for row in tested if row.p is not None])
    of_the_sequence = {row.step for row, p in zip(tested, corrected, strict=True) if p >= LEVEL}
    assert alone == of_the_sequence == NOT_SIGNIFICANT, "without correction, and with it for the main sequence alone"

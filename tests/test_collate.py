import math
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from helpers.synthetic import ladder, result, run, write
from scipy.stats import ttest_ind

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.results.collate import collate, read, report, rows
from roadmap.results.compatibility import refuse_mixed
from roadmap.results.paper import published, to_beat
from roadmap.results.statistics import one_run
from roadmap.results.table import Row, rate, read_csv, write_csv


def by_rung(table: list[Row]) -> dict[str, Row]:
    return {row.step: row for row in table}


# The table


def test_three_seeds() -> None:
    counts = {"resnet": (8600, 8620, 8610), "training_recipe": (8700, 8690, 8720)}
    table = by_rung(rows([result(s, i, correct=c) for s in counts for i, c in enumerate(counts[s])]))
    first, second = table["resnet"], table["training_recipe"]
    assert (first.n, first.change, first.parent) == (3, None, None)
    assert first.top1 == pytest.approx(86.1)
    assert second.top1 == pytest.approx(fmean([87.0, 86.9, 87.2]))
    assert second.top1_std == pytest.approx(stdev([87.0, 86.9, 87.2]))
    # Variances 0.01 and 0.07 / 3: squared error 1 / 90, 3.448 degrees of freedom, quantile 2.9607.
    assert second.change == pytest.approx(0.9333, abs=1e-4)
    assert second.change_low == pytest.approx(0.9333 - 2.9607 * math.sqrt(1 / 90), abs=1e-3)
    assert second.change_high == pytest.approx(0.9333 + 2.9607 * math.sqrt(1 / 90), abs=1e-3)
    assert second.p == pytest.approx(ttest_ind([87.0, 86.9, 87.2], [86.0, 86.2, 86.1], equal_var=False).pvalue)
    assert second.p_holm == second.p, "one change alone needs no correction"
    assert second.significant is True
    # Deviation pooled to sqrt((0.01 + 0.07 / 3) / 2) = 0.129: power 0.74 with 7 seeds a rung, 0.80 with 8.
    assert first.seeds_needed == second.seeds_needed == 8
    assert (first.one_run_low, first.one_run_high) == pytest.approx(one_run(86.1, 10_000))
    assert first.seconds == pytest.approx(60.0)
    assert (second.params, second.gflops, second.images_per_second) == (1_640_000, 0.0123456, 1001.0)
    assert (second.paper_top1, second.paper_change) == (78.82, 2.69)


def test_one_seed_has_blanks_and_says_so() -> None:
    results = ladder(seeds=1)
    table = rows(results)
    assert [row.step for row in table] == [step.name for step in steps()]
    for row in table:
        assert (row.n, row.top1_std, row.change_low, row.change_high, row.significant) == (1, *[None] * 4)
        assert row.p is row.p_holm is row.seeds_needed is None
    assert by_rung(table)["gelu"].change == pytest.approx(1.5)  # three rungs after its parent: 150 of 10,000 images
    page = report(table, results)
    assert "One seed: no interval." in page
    assert "| gelu | 1 | 86.00 |  | +1.50 |  |  | 1,640,000 | 0.0123 | 1,000 | 80.62 | +0.05 |\n" in page


def test_rungs_with_one_seed_are_named_among_others() -> None:
    results = [result("resnet", 0), result("resnet", 1), result("training_recipe")]
    assert "One seed, no interval: training_recipe." in report(rows(results), results)


def test_missing_rungs_stay_blank() -> None:
    results = [result("fewer_norms"), result("resnet")]
    table = by_rung(rows(results))
    assert len(table) == 18
    assert table["fewer_norms"].top1 == 80 and table["fewer_norms"].change is None
    assert table["gelu"].n == 0 and table["gelu"].top1 is table["gelu"].params is None
    assert "| gelu |  |  |  |  |  |  |  |  |  | 80.62 | +0.05 |\n" in report(rows(results), results)


def test_a_rung_of_ones_own_comes_last_with_its_parent() -> None:
    own = result("wide", like="gelu", correct=8100, step__parent="layer_norm", model__width=48)
    named = result("tall", like="gelu", step__title="Taller")
    table = rows([result("layer_norm", correct=8000), own, named])
    assert [row.step for row in table[18:]] == ["tall", "wide"]
    assert [row.title for row in table[18:]] == ["Taller", "wide"]
    wide = table[-1]
    assert (wide.parent, wide.group, wide.main_sequence, wide.paper_top1) == ("layer_norm", "own", False, None)
    assert wide.change == pytest.approx(1.0)


def test_agreement_with_the_paper() -> None:
    results = ladder(seeds=2)
    page = report(rows(results), results)
    # All our changes go up; of the paper's 16, depthwise_conv and move_up_depthwise go down.
    assert "over 17 rungs; 14 of 16 changes have the same sign (88%)" in page
    assert "(ResNet-50 regime, Table 10)" in page
    only = [result("resnet")]
    assert "Kendall's tau not defined over 1 rungs\n" in report(rows(only), only)


def test_where_it_comes_from_is_told() -> None:
    a, b = result("resnet"), result("gelu")
    b["dirty"], b["wall_seconds"] = True, 3600.0
    b["hardware"] = {"cpu": "Testing CPU", "cores": 8, "threads": 4, "gpu": "Testing GPU"}
    page = report(rows([a, b]), [a, b])
    assert "- Hardware: Testing CPU, 2 cores, threads a run: 1; Testing GPU, Testing CPU, 8 cores" in page
    assert "- Commit: `012345678901`; `012345678901` with uncommitted changes\n" in page
    assert "- Versions: python 3.11.7, torch 2.15.0\n" in page
    assert "- Total time: 1 h 1 min of training in 2 runs\n" in page
    a["commit"] = None
    assert "- Commit: unknown\n" in report(rows([a]), [a])


def test_the_paper_a_small_study_is_compared_with_is_the_small_regime() -> None:
    assert published("micro") == published("resnet50")
    assert published("resnet200")["gelu"].top1 == 82.19
    assert len(published("resnet200")) == 17 and "layer_scale" not in published("resnet200")
    assert (to_beat("resnet50"), to_beat("resnet200")) == (("Swin-T", 81.3), ("Swin-B", 83.5))


@pytest.mark.parametrize(("value", "told"), [(0.4321, "0.43"), (1.26, "1.3"), (9.96, "10"), (1512.9, "1,513")])
def test_slow_networks_have_a_rate_too(value: float, told: str) -> None:
    assert rate(value) == told


def test_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = rows([*ladder(seeds=2)[:-1], result("wide", like="gelu")])
    (tmp_path / "a.csv").write_text(write_csv(table))
    again = read_csv(tmp_path / "a.csv")
    assert write_csv(again) == write_csv(table)
    assert again[3].change_low == pytest.approx(table[3].change_low, abs=1e-6)
    assert [(row.main_sequence, row.significant, row.n) for row in again] == [
        (row.main_sequence, row.significant, row.n) for row in table
    ]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("top1_std", "spread"), "allowed columns"),
        (lambda text: text.replace("1640000", "many", 1), "line 2: invalid literal"),
        (lambda text: text[:-40], "line 19"),
        (lambda text: "", "allowed columns"),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    (tmp_path / "a.csv").write_text(spoil(write_csv(rows(ladder()))))
    with pytest.raises(ConfigError, match=message):
        read_csv(tmp_path / "a.csv")


# What may stand in one table


def test_a_whole_ladder_may() -> None:
    refuse_mixed(ladder(seeds=2))


def test_how_and_where_a_run_is_carried_out_is_free() -> None:
    other = {"training__threads": 7, "runs_dir": "elsewhere", "study__seeds": 9, "data__root": "/mnt"}
    refuse_mixed([result("gelu", 0), result("gelu", 1, step__title="Reworded", **other), result("resnet", **other)])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({"step": "resnet"}, {"study__name": "x"}, "study.name: smoke in resnet/seed-0, x in gelu/seed-3"),
        ({"step": "resnet"}, {"regime__img_size": 64}, "regime.img_size: 32 in .* 64 in gelu/seed-3"),
        ({"step": "resnet"}, {"data__max_train": 9}, "data.max_train: 512 in .* 9 in gelu/seed-3"),
        ({"step": "resnet"}, {"budget__epochs": 5}, "budget.epochs: 2 in .* 5 in gelu/seed-3: one table is"),
        (
            {"step": "gelu"},
            {"model__width": 8},
            "model.width: 24 in gelu/seed-0, 8 in .* in their seed alone",
        ),
        ({"step": "gelu"}, {"recipe__lr": 1.0}, "recipe.lr: .* in gelu/seed-0, 1.0 in gelu/seed-3"),
        (
            {"step": "gelu"},
            {"step__parent": "resnet"},
            "step.parent: large_kernel in .* resnet in gelu/seed-3",
        ),
        ({"step": "layer_scale"}, {"recipe__lr": 1.0}, "recipe.lr: .* both call their recipe modern"),
        (
            {"step": "large_kernel"},
            {"model__kernel_size": 9},
            "model.kernel_size: 7 in .*only model.act may change",
        ),
        (
            {"step": "large_kernel"},
            {"recipe__name": "mine"},
            "recipe.name: modern in large_kernel/seed-0, mine in",
        ),
        (
            {"step": "move_up_depthwise"},
            {"model__norm": "layer_norm"},
            "from move_up_depthwise to gelu only model.act, model.kernel_size may change",
        ),
    ],
)
def test_runs_that_differ_in_more_are_refused(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_mixed([result(**a), result("gelu", 3, **b)])


def test_what_a_step_declares_may_differ() -> None:
    refuse_mixed([result("large_kernel"), result("gelu", model__act="relu")])
    refuse_mixed([result("resnet"), result("gelu", recipe__name="mine")])  # training_recipe lies between


def test_a_rung_of_ones_own_may_change_its_model() -> None:
    refuse_mixed([*ladder(), result("mine", like="gelu", model__width=48, model__norm="layer_norm")])


def test_a_result_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    study = write(tmp_path, [result("gelu", 1)])
    shutil.copytree(study / "gelu" / "seed-1", study / "gelu" / "seed-2")
    with pytest.raises(ConfigError, match=r"gelu/seed-2/result.json: holds the result of gelu/seed-1"):
        read(study)


def test_runs_under_another_studys_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu")]).rename(tmp_path / "runs" / "other")
    with pytest.raises(ConfigError, match=r"study=other: .*runs of another study, smoke"):
        collate("other", tmp_path / "runs", tmp_path / "results")


def test_a_damaged_result_is_refused_by_name(tmp_path: Path) -> None:
    study = write(tmp_path, [result("gelu"), result("resnet")])
    path = study / "gelu" / "seed-0" / "result.json"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ConfigError, match=r"gelu/seed-0/result.json: "):
        read(study)


# The files


def test_the_table_can_be_made_again_without_runs(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    write(runs, ladder(seeds=2))
    written = collate("smoke", runs, results)
    assert written == [results / "smoke" / f"ladder.{kind}" for kind in ("csv", "md", "tex")]
    before = [path.read_bytes() for path in written]
    shutil.rmtree(runs)
    for path in written:
        path.unlink()
    collate("smoke", runs, results)
    assert [path.read_bytes() for path in written] == before


def test_what_is_kept_is_what_the_table_was_made_from(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    kept = results / "smoke" / "runs"
    study = write(runs, [result("gelu", 0), result("gelu", 1), result("resnet")])
    collate("smoke", runs, results)
    unchanged = (kept / "gelu" / "seed-0" / "result.json").stat().st_mtime_ns
    shutil.rmtree(study / "gelu" / "seed-1")
    write(runs, [result("resnet", correct=9000), result("layer_norm")])
    collate("smoke", runs, results)
    here = {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert here == {path.relative_to(study): path.read_bytes() for path in study.rglob("*") if path.is_file()}
    assert (kept / "gelu" / "seed-0" / "result.json").stat().st_mtime_ns == unchanged


def test_nothing_is_written_when_it_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu", 0), result("gelu", 1, recipe__lr=1.0)])
    with pytest.raises(ConfigError, match=r"recipe\.lr"):
        collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_sweep_without_a_finished_run_is_not_shown_as_an_older_one(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu")])
    collate("smoke", tmp_path / "runs", tmp_path / "results")
    (tmp_path / "runs" / "smoke" / "gelu" / "seed-0" / "result.json").unlink()
    with pytest.raises(ConfigError, match="no finished run"):
        collate("smoke", tmp_path / "runs", tmp_path / "results")


# The script


def test_the_script_writes_without_torch(tmp_path: Path) -> None:
    write(tmp_path / "there", [result("gelu")])
    done = run("study=smoke", "runs_dir=there", "results_dir=out", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "1 finished in there/smoke\nout/smoke/ladder.csv\nout/smoke/ladder.md\nout/smoke/ladder.tex\n",
        "False\n",
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seedz=3", "seedz=3: allowed is study=... runs_dir=... results_dir=..., and the words of a sweep"),
        ("smoke", "smoke: allowed is study=... runs_dir=... results_dir=..., and the words of a sweep"),
        ("study=../x", "study=../x: allowed is letters"),
        (
            "study=smoke",
            "study=smoke: no finished run in runs/smoke; first run: python scripts/sweep.py study=smoke",
        ),
    ],
)
def test_the_script_refuses_in_one_line(tmp_path: Path, word: str, message: str) -> None:
    done = run(word, cwd=tmp_path)
    first, torch = done.stderr.splitlines()
    assert (done.returncode, done.stdout, torch) == (2, "", "False")
    assert first.startswith(f"collate: {message}")
    assert list(tmp_path.iterdir()) == []

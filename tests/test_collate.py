"""From result files to the files of a table."""

import shutil
from pathlib import Path

import pytest
from helpers.synthetic import ROOT, ladder, result, run, write

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.results.collate import collate, report, rows
from roadmap.results.sources import read
from roadmap.results.table import read_csv
from roadmap.runs import find_results

OLD = Path(__file__).parent / "data" / "old_results"


def test_every_step_has_a_row_and_missing_ones_stay_blank() -> None:
    table = rows([result("fewer_norms"), result("resnet")])
    assert [row.step for row in table] == [step.name for step in steps()]
    by_step = {row.step: row for row in table}
    assert by_step["fewer_norms"].top1 == 80 and by_step["fewer_norms"].change is None
    assert by_step["gelu"].n == 0 and by_step["gelu"].top1 is by_step["gelu"].params is None


def test_a_step_without_step_file_stands_where_one_with_a_file_would() -> None:
    own = result("wide", like="gelu", correct=8100, step__parent="layer_norm", model__width=48)
    named = result("tall", like="gelu", step__title="Taller")
    table = rows([result("layer_norm", correct=8000), own, named])
    names = [row.step for row in table]
    assert names[names.index("gelu") + 1] == "tall" and names[names.index("separate_downsampling") + 1] == "wide"
    assert {row.title for row in table if row.step in ("tall", "wide")} == {"Taller", "wide"}
    wide = table[names.index("wide")]
    assert (wide.parent, wide.group, wide.main_sequence, wide.paper_top1) == ("layer_norm", "micro", False, None)
    assert wide.change == pytest.approx(1.0)


def test_the_page_says_how_the_runs_were_made() -> None:
    a, b = result("resnet"), result("gelu")
    b["dirty"], b["wall_seconds"] = True, 3600.0
    b["hardware"] = {"cpu": "Testing CPU", "cores": 8, "threads": 4, "gpu": "Testing GPU"}
    page = report(rows([a, b]), [a, b])
    assert "- Hardware: Testing CPU, 2 cores, threads per run: 1; Testing GPU, Testing CPU, 8 cores" in page
    assert "- Commit: `012345678901`; `012345678901` with uncommitted changes\n" in page
    assert "- Versions: python 3.11.7, torch 2.15.0\n" in page
    assert "- Total time: 1 h 1 min of training in 2 runs\n" in page
    a["commit"] = None
    del a["hardware"], a["versions"]
    page = report(rows([a]), [a])
    assert "- Commit: unknown\n" in page and "- Hardware: unknown\n" in page


def test_results_in_the_old_format_and_in_the_new_one_stand_in_one_table(tmp_path: Path) -> None:
    study = shutil.copytree(OLD / "runs", tmp_path / "fashion_mnist")
    shutil.copytree(ROOT / "results/published/fashion_mnist/runs/stage_ratio", study / "stage_ratio")
    table, page, _ = collate("fashion_mnist", tmp_path, tmp_path / "results")
    known = {row.step: row for row in read_csv(table)}
    resnet = known["resnet"]
    assert (resnet.n, resnet.top1, resnet.metrics["ema_top1"][0], known["stage_ratio"].n) == (1, 85.53, 85.42, 3)
    assert "| recipe.epochs | 4 | 90 or 300 |" in page.read_text()


def test_a_result_that_is_damaged_or_in_the_wrong_place_is_refused_by_name(tmp_path: Path) -> None:
    study = write(tmp_path, [result("gelu", 1), result("resnet")])
    copy = shutil.copytree(study / "gelu" / "seed-1", study / "gelu" / "seed-2") / "result.json"
    with pytest.raises(ConfigError, match=r"gelu/seed-2/result.json: holds the result of gelu/seed-1"):
        read(study, "smoke")
    copy.write_text(copy.read_text()[:-30])
    with pytest.raises(ConfigError, match=r"gelu/seed-2/result.json: not a result"):
        read(study, "smoke")
    copy.unlink()
    study.rename(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"result.json: study=smoke: allowed is other, of which"):
        collate("other", tmp_path, tmp_path / "results")


def test_the_table_can_be_made_again_without_runs(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    write(runs, ladder(seeds=2))
    written = collate("smoke", runs, results)
    assert written == [results / "smoke" / f"ladder.{kind}" for kind in ("csv", "md", "tex")]
    written.append(results / "smoke" / "runs.csv")
    before = [path.read_bytes() for path in written]
    shutil.rmtree(runs)
    for path in written:
        path.unlink()
    collate("smoke", runs, results)
    assert [path.read_bytes() for path in written] == before
    assert written[-1].read_text().startswith("study,step,seed,metric,value\nsmoke,depthwise_conv,0,top1,82.0\n")


def test_results_are_kept_when_their_runs_are_gone(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    kept = results / "smoke" / "runs"
    study = write(runs, [result("gelu", 0), result("gelu", 1), result("resnet")])
    collate("smoke", runs, results)
    unchanged = (kept / "gelu" / "seed-0" / "result.json").stat().st_mtime_ns
    shutil.rmtree(study)
    write(runs, [result("resnet", correct=9000), result("layer_norm")])
    said: list[str] = []
    table = {row.step: row for row in read_csv(collate("smoke", runs, results, said.append)[0])}
    assert {step: (row.n, row.top1) for step, row in table.items() if row.n} == {
        "resnet": (1, 90.0),
        "gelu": (2, 80.0),
        "layer_norm": (1, 80.0),
    }
    assert said == [f"2 finished in {study}", f"2 finished in {kept}"]
    assert len(find_results(kept)) == 4
    assert (kept / "gelu" / "seed-0" / "result.json").stat().st_mtime_ns == unchanged


def test_published_results_are_joined_in_and_never_written(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    published = write(tmp_path / "there", ladder(seeds=3)).rename(tmp_path / "published")
    (results / "published" / "smoke").mkdir(parents=True)
    published = published.rename(results / "published" / "smoke" / "runs")
    before = [path.read_bytes() for path in find_results(published)]
    write(runs, [result("wide", like="gelu", step__parent="layer_norm", model__width=48), result("gelu", correct=1)])
    table = {row.step: row for row in read_csv(collate("smoke", runs, results)[0])}
    assert (table["wide"].n, table["gelu"].n, table["resnet"].n) == (1, 3, 3)
    assert table["wide"].change == pytest.approx(80 - (table["layer_norm"].top1 or 0))
    assert (table["gelu"].top1 or 0) < 60, "one's own run in place of the published one"
    assert [path.read_bytes() for path in find_results(published)] == before
    assert sorted(path.name for path in published.parent.iterdir()) == ["runs"]
    assert len(find_results(results / "smoke" / "runs")) == 2, "copies of one's own alone"


def test_published_results_of_another_configuration_are_left_out_with_the_reason(tmp_path: Path) -> None:
    published = write(tmp_path / "there", [result("gelu", recipe__lr=1.0)])
    shutil.copytree(published, tmp_path / "results" / "published" / "smoke" / "runs")
    write(tmp_path / "runs", [result("gelu", 1)])
    said: list[str] = []
    collate("smoke", tmp_path / "runs", tmp_path / "results", said.append)
    assert "left out: recipe.lr: " in said[1] and len(said) == 2


def test_nothing_is_written_for_incompatible_runs(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu", 0), result("gelu", 1, recipe__lr=1.0)])
    with pytest.raises(ConfigError, match=r"recipe\.lr"):
        collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()
    with pytest.raises(ConfigError, match=r"no finished run in .*; first run: python scripts/sweep.py study=smoke$"):
        collate("smoke", tmp_path / "none", tmp_path / "results")


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    write(tmp_path / "there", [result("gelu")])
    done = run("study=smoke", "runs_dir=there", "results_dir=out", cwd=tmp_path)
    said = "1 finished in there/smoke\nout/smoke/ladder.csv\nout/smoke/ladder.md\nout/smoke/ladder.tex\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "False\n")

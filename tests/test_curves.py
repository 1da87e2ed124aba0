import shutil
from pathlib import Path

import pytest
from helpers.synthetic import result, write

from roadmap.errors import ConfigError
from roadmap.report.content import gather
from roadmap.results import curves
from roadmap.results.collate import collate


def test_curves_outlive_the_runs_and_their_metrics(half: Path, tmp_path: Path) -> None:
    shutil.copytree(half.parent, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results"
    kept = curves.read(results / "smoke" / "curves.csv")
    assert len(kept) == 2 * 7
    assert list(kept[0].values()) == ["gelu", 0, 1, 2.0 / 1 + 4 / 100, 40.4, 30.0]
    before = (results / "smoke" / "curves.csv").read_bytes()
    runs = (tmp_path / "runs").rename(tmp_path / "away")
    collate("smoke", tmp_path / "runs", results)
    assert (results / "smoke" / "curves.csv").read_bytes() == before
    for path in runs.rglob("metrics.jsonl"):
        path.unlink()
    runs.rename(tmp_path / "runs")
    collate("smoke", tmp_path / "runs", results)
    assert (results / "smoke" / "curves.csv").read_bytes() == before
    (results / "smoke" / "curves.csv").unlink()
    collate("smoke", tmp_path / "runs", results)
    assert not (results / "smoke" / "curves.csv").exists()
    assert gather("smoke", results)["curves"] == []


def test_a_result_with_other_numbers_does_not_take_the_curve_of_an_earlier_one(tmp_path: Path) -> None:
    study = write(tmp_path / "runs", [result("gelu")])
    line = '{"epoch": 1, "loss": 2.0, "top1": 1.0, "ema_top1": 1.0}'
    (study / "gelu" / "seed-0" / "metrics.jsonl").write_text(line + "\n")
    collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert len(curves.read(tmp_path / "results/smoke/curves.csv")) == 1
    write(tmp_path / "runs", [result("gelu", correct=10)])
    (study / "gelu" / "seed-0" / "metrics.jsonl").unlink()
    collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert curves.read(tmp_path / "results/smoke/curves.csv") == []


def test_damaged_metrics_and_curves_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = write(tmp_path / "runs", [result("gelu")])
    for line in ("{", '{"epoch": 1}', "[]", '{"epoch": 1, "loss": null, "top1": 1, "ema_top1": 1}'):
        (study / "gelu" / "seed-0" / "metrics.jsonl").write_text(line + "\n")
        with pytest.raises(ConfigError, match=r"gelu/seed-0/metrics.jsonl: line 1: "):
            collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()
    for text in ("", "step,seed\n", "step,seed,epoch,loss,top1,ema_top1\ngelu,0,1,2.0\n"):
        (tmp_path / "curves.csv").write_text(text)
        with pytest.raises(ConfigError, match=r"curves.csv: "):
            curves.read(tmp_path / "curves.csv")

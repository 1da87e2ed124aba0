"""What becomes of committed results."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.smoke import inside
from helpers.synthetic import ROOT, ladder, result, stored_answers, write

from roadmap.errors import ConfigError
from roadmap.report.publish import publish
from roadmap.results.sources import read
from roadmap.results.table import read_csv


def published(root: Path) -> dict[str, bytes]:
    """The published files of the study, by path."""
    directory = root / "results" / "published" / "smoke"
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def go(root: Path, **choices: bool) -> list[str]:
    said: list[str] = []
    publish("smoke", root / "runs", root / "results", say=said.append, **choices)
    return said


def test_a_study_made_in_two_places_has_the_table_of_one_made_in_one(tmp_path: Path) -> None:
    whole, here, there = (tmp_path / name for name in ("whole", "here", "there"))
    every = ladder(seeds=2)
    write(whole / "runs", every)
    go(whole)
    write(here / "runs", every[::2])
    go(here)
    shutil.copytree(here / "results" / "published", there / "results" / "published")
    write(there / "runs", every[1::2])
    go(there)
    assert published(there) == published(whole)
    assert {"ladder.csv", "ladder.md", "ladder.tex", "ladder.png", "ladder.svg", "runs.csv"} < published(whole).keys()


def test_fewer_seeds_than_published_are_refused_unless_told(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu", seed, recipe__lr=1.0) for seed in range(3)])
    go(tmp_path)
    before = published(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    write(tmp_path / "runs", [result("gelu", seed) for seed in (3, 4)])
    with pytest.raises(ConfigError, match=r"gelu: 2 seeds, and 3 are published; fewer=true"):
        go(tmp_path)
    assert published(tmp_path) == before
    assert "left out: recipe.lr" in go(tmp_path, fewer=True)[1]
    assert len(read(tmp_path / "results" / "published" / "smoke" / "runs", "smoke")) == 2


def test_two_results_of_one_run_are_refused_unless_their_numbers_are_equal(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu"), result("resnet")])
    go(tmp_path)
    before = published(tmp_path)
    write(tmp_path / "runs", [result("gelu") | {"wall_seconds": 7.0}, result("resnet", correct=7000)])
    with pytest.raises(ConfigError, match=r"resnet/seed-0/result.json: top-1 70.0 \(.*\) and 80.0 .* replace=true"):
        go(tmp_path)
    assert published(tmp_path) == before
    go(tmp_path, replace=True)
    after = published(tmp_path)
    assert after["runs/gelu/seed-0/result.json"] == before["runs/gelu/seed-0/result.json"], "equal: it stays"
    table = {row.step: row.top1 for row in read_csv(tmp_path / "results" / "published" / "smoke" / "ladder.csv")}
    assert (table["gelu"], table["resnet"]) == (80.0, 70.0)


def test_a_result_that_says_more_takes_the_place_of_an_older_one_with_equal_numbers(tmp_path: Path) -> None:
    old = result("gelu")
    write(tmp_path / "runs", [old])
    go(tmp_path)
    new = old | {"metrics": old["metrics"] | {"test_loss": 0.5}, "answers": stored_answers(old), "wall_seconds": 7.0}
    write(tmp_path / "runs", [new])
    go(tmp_path)
    assert json.loads(published(tmp_path)["runs/gelu/seed-0/result.json"])["metrics"]["test_loss"] == 0.5
    write(tmp_path / "runs", [old])
    go(tmp_path)
    assert json.loads(published(tmp_path)["runs/gelu/seed-0/result.json"])["wall_seconds"] == 7.0, "and stays"


def test_results_with_uncommitted_changes_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "runs", [result("gelu") | {"dirty": True}, result("resnet")])
    assert go(tmp_path)[-1] == "1 of 2 results were made with uncommitted changes"


def test_without_an_own_result_nothing_is_published(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study=smoke: no finished run in .*runs/smoke"):
        go(tmp_path)
    assert not (tmp_path / "results").exists()


def test_no_other_command_changes_what_git_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    write(tmp_path / "runs", ladder(seeds=2))
    go(tmp_path)
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x")
    assert git("ls-files").count("result.json") == 36, "published results are tracked, runs are not"
    write(tmp_path / "runs", [result("gelu", correct=1), result("mine", like="gelu", step__parent="gelu")])
    for name in ("collate", "plot", "view"):
        assert inside(f"scripts/{name}.py", "study=smoke")[0] == 0
    assert inside("scripts/compare.py", "a=smoke")[0] == inside("scripts/paper.py")[0] == 0
    assert git("status", "--porcelain") == ""
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"published", "smoke", "compare", "paper"}

"""The committed results: made from the result files beside them, and shown in the README."""

import csv
import shutil
from pathlib import Path

import pytest

from roadmap.config.steps import steps
from roadmap.results.collate import collate
from roadmap.runs import find_results, read_result


@pytest.fixture
def results(committed: Path) -> Path:
    return committed / "results" / "published" / "fashion_mnist"


@pytest.mark.parametrize("study", ["fashion_mnist", "fashion_mnist_recipe"])
def test_the_committed_table_is_what_its_result_files_say(study: str, committed: Path, tmp_path: Path) -> None:
    kept = committed / "results" / "published" / study
    shutil.copytree(kept / "runs", tmp_path / study / "runs")
    for path in [*collate(study, tmp_path / "no runs", tmp_path), tmp_path / study / "runs.csv"]:
        assert path.read_text() == (kept / path.name).read_text()


def test_every_step_has_three_seeds_beats_a_linear_classifier_and_is_in_the_readme(results: Path) -> None:
    rows = list(csv.DictReader((results / "ladder.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == [step.name for step in steps() if step.section != "own"]
    readme = (results.parents[2] / "README.md").read_text()
    for row in rows:
        assert int(row["n"]) == 3 and float(row["top1"]) > 84
        change = f"{float(row['change']):+.2f}" if row["change"] else ""
        top1 = f"{float(row['top1']):.2f} ± {float(row['top1_std']):.2f}"
        assert f"| `{row['step']}` | {top1} | {change} | {row['significant']} |" in readme
    assert (results / "ladder.png").stat().st_size > 10_000
    assert (results / "ladder.svg").read_text().rstrip().endswith("</svg>")


def test_the_loop_was_not_waiting(results: Path) -> None:
    shares = [read_result(path)["overhead_share"] for path in find_results(results / "runs")]
    assert len(shares) == 54 and max(shares) < 0.05

"""The committed results: made from the result files beside them, and what the README shows."""

import csv
import shutil
from pathlib import Path

import pytest

from roadmap.ladder.collate import collate
from roadmap.runs import find_results, read_result
from roadmap.steps import steps

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "fashion_mnist"


def test_the_committed_table_is_what_its_result_files_say(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "runs", tmp_path / "fashion_mnist" / "runs")
    for path in collate("fashion_mnist", tmp_path / "no runs", tmp_path):
        assert path.read_text() == (RESULTS / path.name).read_text()


def test_every_rung_has_three_seeds_and_stands_above_a_linear_classifier() -> None:
    with (RESULTS / "ladder.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rung"] for row in rows] == [rung.name for rung in steps() if rung.section != "own"]
    assert all(int(row["n"]) == 3 for row in rows)
    assert all(float(row["top1"]) > 84 for row in rows)
    assert (RESULTS / "ladder.png").stat().st_size > 10_000
    assert (RESULTS / "ladder.svg").read_text().rstrip().endswith("</svg>")


def test_the_loop_was_not_waiting() -> None:
    results = [read_result(path) for path in find_results(RESULTS / "runs")]
    assert len(results) == 54
    assert max(result["overhead_share"] for result in results) < 0.05


@pytest.mark.parametrize("step", [rung.name for rung in steps() if rung.section != "own"])
def test_the_readme_shows_the_committed_numbers(step: str) -> None:
    with (RESULTS / "ladder.csv").open() as stream:
        row = next(row for row in csv.DictReader(stream) if row["rung"] == step)
    assert f"| `{step}` | {float(row['top1']):.2f} ± {float(row['top1_std']):.2f} |" in (ROOT / "README.md").read_text()

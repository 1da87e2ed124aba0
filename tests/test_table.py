"""The rows of a study and the CSV file they are kept in."""

import csv
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from helpers.synthetic import ladder, result
from scipy.stats import ttest_ind

from roadmap.errors import ConfigError
from roadmap.results.collate import rows
from roadmap.results.statistics import one_run
from roadmap.results.table import COSTS, Row, long_rows, read_csv, to_csv

OLD = Path(__file__).parent / "data" / "old_results"


def by_step(table: list[Row]) -> dict[str, Row]:
    return {row.step: row for row in table}


def test_long_rows_have_every_number_of_every_run() -> None:
    odd = result("gelu", 1)
    odd["metrics"] |= {"ece": 0.03, "note": "not a number", "unknown": None}
    long = long_rows([result("resnet"), odd])
    assert list(long.columns) == ["study", "step", "seed", "metric", "value"]
    assert dict(long[long["step"] == "gelu"][["metric", "value"]].to_numpy()) == {
        "top1": 80, "top5": 99, "ema_top1": 80, "ema_top5": 99, "train_loss": 0.7, "ece": 0.03,
        **{key: odd[key] for key in COSTS},
    }  # fmt: skip
    assert list(long[long["metric"] == "ece"]["seed"]) == [1]


def test_a_row_of_three_seeds() -> None:
    counts = {"resnet": (8600, 8620, 8610), "training_recipe": (8700, 8690, 8720)}
    table = by_step(rows([result(s, i, correct=c) for s in counts for i, c in enumerate(counts[s])]))
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
    # Deviation pooled to sqrt((0.01 + 0.07 / 3) / 2) = 0.129: power 0.74 with 7 seeds per step, 0.80 with 8.
    assert first.seeds_needed == second.seeds_needed == 8
    assert (first.one_run_low, first.one_run_high) == pytest.approx(one_run(86.1, 10_000))
    assert first.seconds == pytest.approx(60.0)
    assert (second.params, second.gflops, second.images_per_second) == (1_640_000, 0.0123456, 1001.0)
    assert (second.paper_top1, second.paper_change) == (78.82, 2.69)
    assert second.metrics["top5"] == (99, 0)


def test_a_metric_of_some_runs_is_averaged_over_those(tmp_path: Path) -> None:
    results = [result("gelu", 0), result("gelu", 1), result("gelu", 2), result("resnet")]
    results[0]["metrics"]["ece"], results[1]["metrics"]["ece"] = 0.02, 0.04
    table = rows(results)
    assert by_step(table)["gelu"].metrics["ece"] == pytest.approx((0.03, math.sqrt(2) / 100))
    assert "ece" not in by_step(table)["resnet"].metrics
    (tmp_path / "ladder.csv").write_text(to_csv(table))
    line = next(line for line in read_csv(tmp_path / "ladder.csv") if line.step == "gelu")
    assert line.metrics["ece"] == (0.03, 0.014142)
    assert to_csv(table).splitlines()[0].endswith(",train_loss,train_loss_std,ece,ece_std")


def test_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = rows([*ladder(seeds=2)[:-1], result("wide", like="gelu")])
    (tmp_path / "a.csv").write_text(to_csv(table))
    again = read_csv(tmp_path / "a.csv")
    assert to_csv(again) == to_csv(table)
    known = [(row.main_sequence, row.significant, row.n) for row in table]
    assert [(row.main_sequence, row.significant, row.n) for row in again] == known


def test_tables_in_old_names_are_read() -> None:
    old, new = (read_csv(path / "ladder.csv") for path in (OLD, Path("results/published/fashion_mnist")))
    assert [row.metrics for row in old] == [{}] * 18
    before, now = ([to_csv([row]).splitlines()[1].split(",")[:29] for row in rows] for rows in (old, new))
    assert before == now


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("main_sequence", "main", 1), "not a table of a study: column main_sequence is mis"),
        (lambda text: text.replace("1640000", "many", 1), "line 2: invalid literal"),
        (lambda text: text.replace(",yes,", ",maybe,", 1), "line 2: 'maybe'"),
        (lambda text: text[:-40], "line 19: cells are missing"),
        (lambda text: text + "more," * 99, "not a table: "),
        (lambda text: "", "not a table: "),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    (tmp_path / "a.csv").write_text(spoil(to_csv(rows(ladder()))))
    with pytest.raises(ConfigError, match=message):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("title", ["=HYPERLINK(1)", "+1", "-x", "@SUM(A1)", "'=1", "'quoted'", "plain"])
def test_a_title_is_no_formula_of_a_spreadsheet_and_comes_back_as_it_was(tmp_path: Path, title: str) -> None:
    table = rows([result("mine", like="gelu", step__title=title)])
    (tmp_path / "ladder.csv").write_text(to_csv(table))
    cells = [line["title"] for line in csv.DictReader(to_csv(table).splitlines())]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert [row.title for row in read_csv(tmp_path / "ladder.csv")] == [row.title for row in table]
    assert title in [row.title for row in table]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("80.0", "nan", "line 2: top1=nan: allowed is a number or null"),
        ("80.0", "1e999", "line 2: top1=inf: allowed is a number or null"),
        ("resnet", "<b>", "line 2: step=<b>: allowed is letters"),
    ],
)
def test_a_table_with_wrong_values_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(to_csv(rows([result("resnet")])).replace(f",{old},", f",{new},", 1))
    with pytest.raises(ConfigError, match=rf"a\.csv: {said}"):
        read_csv(tmp_path / "a.csv")

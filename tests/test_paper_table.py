"""The paper's own three seeds through the statistics."""

from pathlib import Path

import pytest
from scipy.stats import ttest_ind_from_stats

from roadmap.results.paper import published
from roadmap.results.paper_table import paper_rows, write_paper_table
from roadmap.results.statistics import LEVEL, holm

RESULTS = Path(__file__).parents[1] / "results"
NOT_TOLD = {"patchify_stem", "gelu", "fewer_norms", "layer_norm"}


def test_the_committed_table_is_what_the_command_makes(tmp_path: Path) -> None:
    for path in write_paper_table(tmp_path):
        assert path.read_text() == (RESULTS / "paper" / path.name).read_text()


def test_its_p_values_are_those_of_scipy() -> None:
    paper = published("resnet50")
    tested = [row for row in paper_rows() if row.p is not None]
    for row in tested:
        assert row.parent is not None
        sides = [(side.top1, side.top1_std, 3) for side in (paper[row.step], paper[row.parent])]
        assert row.p == pytest.approx(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue, rel=1e-9)
    assert [row.p_holm for row in tested] == holm([row.p for row in tested if row.p is not None])


def test_four_of_the_thirteen_changes_of_the_path_are_not_significant_and_one_cannot_be_tested() -> None:
    path = [row for row in paper_rows() if row.main_sequence and row.change is not None]
    assert len(path) == 13
    tested = [row for row in path if row.p is not None]
    assert {row.step for row in path} - {row.step for row in tested} == {"training_recipe"}
    assert {row.step for row in tested if row.significant is False} == NOT_TOLD
    alone = {row.step for row in tested if row.p is not None and row.p >= LEVEL}
    corrected = holm([row.p for row in tested if row.p is not None])
    of_the_path = {row.step for row, p in zip(tested, corrected, strict=True) if p >= LEVEL}
    assert alone == of_the_path == NOT_TOLD, "the same without correction, and with it for the path alone"

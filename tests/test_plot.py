import struct
from pathlib import Path

import pytest
from helpers.smoke import inside
from helpers.synthetic import ladder, run, write

from roadmap.errors import ConfigError
from roadmap.report.plot import plot
from roadmap.results.collate import collate


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results directory with the table of a ladder of two seeds."""
    write(tmp_path / "runs", ladder(seeds=2))
    collate("smoke", tmp_path / "runs", tmp_path / "results")
    return tmp_path / "results"


def test_both_files_are_written_with_the_same_bytes_each_time(results: Path) -> None:
    written = plot("smoke", results)
    assert written == [results / "smoke" / "ladder.png", results / "smoke" / "ladder.svg"]
    before = [path.read_bytes() for path in written]
    plot("smoke", results)
    assert [path.read_bytes() for path in written] == before
    width, height = struct.unpack(">II", before[0][16:24])
    assert width == 1700 and 1000 < height < 1700
    assert before[1].startswith(b"<?xml") and b"<dc:date>" not in before[1]


def test_the_command_prints_its_files_and_needs_no_torch(results: Path) -> None:
    done = run("study=smoke", "results_dir=results", cwd=results.parent, script="plot")
    paths = "results/smoke/ladder.png\nresults/smoke/ladder.svg\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, paths, "False\n")


def test_without_a_table_the_message_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = "plot: study=smoke: no results/smoke/ladder.csv; first run: python scripts/collate.py study=smoke\n"
    assert inside("scripts/plot.py", "study=smoke") == (2, said)


def test_an_empty_table_is_refused(results: Path) -> None:
    table = results / "smoke" / "ladder.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(ConfigError, match="no step has a finished run"):
        plot("smoke", results)

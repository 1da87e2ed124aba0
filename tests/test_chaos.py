"""Faults at random moments of a real sweep, and that what they would change would be seen."""

import re
import shutil
from pathlib import Path
from random import Random

import pytest
from chaos.siege import Broken, Siege
from helpers.smoke import script, working_on

from roadmap import runs


@pytest.mark.slow
def test_chaos_changes_nothing(tmp_path: Path, data_root: Path) -> None:
    process = script("tests/chaos", "n=5", "seed=3", f"data={data_root}", f"place={tmp_path}")
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    assert re.search(r"all +│ 5 +│ 5 ", output), output
    assert working_on(tmp_path) == []


def test_chaos_would_see_another_result(tmp_path: Path, undisturbed: Path) -> None:
    siege = Siege(tmp_path, (), Random(0), tmp_path / "said.txt")
    directory = siege.study / "gelu" / "seed-0"
    shutil.copytree(undisturbed, directory)
    wanted = siege.outcome()
    believed: dict[Path, int] = {}
    siege.see(believed)
    result = runs.read_result(directory / runs.RESULT)
    runs.write_result(directory / runs.RESULT, result | {"counts": result["counts"] | {"top1": 0}})
    assert siege.outcome() != wanted
    with pytest.raises(Broken, match="was finished and is not what it was"):
        siege.see(believed)

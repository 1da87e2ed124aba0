"""Faults at random moments of a real sweep; and a check that a changed result would be noticed."""

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import yaml
from chaos.trial import BrokenPromise, Trial
from helpers.smoke import ROOT, working_on
from helpers.synthetic import result, write

from roadmap import runs


@pytest.mark.slow
@pytest.mark.parametrize("words", ["n=5 seed=3", "n=20 only=kill"])
def test_chaos_changes_nothing(words: str, tmp_path: Path, data_root: Path) -> None:
    command = [sys.executable, "-m", "chaos", *words.split(), f"data={data_root}", f"place={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"all +│ (5|20) +│ \1 ", done.stdout), done.stdout
    assert working_on(tmp_path) == []


def test_chaos_notices_a_changed_result(tmp_path: Path) -> None:
    trial, whole = Trial(tmp_path, (), Random(0), tmp_path / "log.txt"), result("gelu", study__name="chaos")
    directory = write(tmp_path, [whole]) / "gelu" / "seed-0"
    (directory / runs.METRICS).touch()
    (directory / runs.CONFIG).write_text(yaml.safe_dump(whole["config"]))
    expected = trial.outcome()
    trial.check_finished()
    changed = {part: whole[part] | {"top1": 0} for part in ("counts", "metrics")}
    runs.write_result(directory / runs.RESULT, whole | changed)
    assert trial.outcome() != expected
    with pytest.raises(BrokenPromise, match="was finished and has changed"):
        trial.check_finished()

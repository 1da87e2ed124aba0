"""A run's directory: what may be taken over, and what is another run's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.smoke import ROOT, tiny

from roadmap import runs
from roadmap.config.compose import compose, load
from roadmap.config.steps import deviations
from roadmap.errors import ConfigError
from roadmap.files import lock


def test_a_run_that_never_began_is_in_nobodys_way(tmp_path: Path) -> None:
    wrong, right = (
        compose(["study=imagenet", "study.name=mine", f"recipe.lr={lr}", f"runs_dir={tmp_path}"]) for lr in (9, 1)
    )
    directory = runs.prepare(wrong)
    runs.write_json(directory / runs.FAILURE, {"error": "refused"})
    with lock(directory), pytest.raises(ConfigError, match=r"holds another run: recipe\.lr \(9\.0 there, now 1\.0\)"):
        runs.prepare(right)
    assert runs.prepare(right) == directory
    assert load(directory / runs.CONFIG) == right


def test_what_has_done_anything_is_not_taken_over(tmp_path: Path) -> None:
    there, wanted = (compose(["study.name=mine", f"recipe.lr={lr}", f"runs_dir={tmp_path}"]) for lr in (9, 1))
    directory = runs.prepare(there)
    for work in (runs.CHECKPOINT, runs.PREVIOUS_CHECKPOINT, runs.METRICS, runs.RESULT, runs.JOB):
        (directory / work).touch()
        with pytest.raises(ConfigError, match=r"holds another run: recipe\.lr"):
            runs.prepare(wanted)
        (directory / work).unlink()


def test_deviations_are_stored_when_a_run_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(["+step=gelu", f"runs_dir={tmp_path}"])
    stored = runs.prepare(config) / runs.DEVIATIONS
    assert runs.read_deviations(stored.parent, config) == deviations(config)
    before = stored.read_bytes()
    runs.write_json(stored, {"config_hash": "of another run", "deviations": {"seed": [0, 1]}})
    assert runs.read_deviations(stored.parent, config) == deviations(config)
    runs.prepare(config)
    assert stored.read_bytes() == before
    monkeypatch.setattr(runs, "CONF", tmp_path / "nowhere")
    assert runs.read_deviations(stored.parent, config) == deviations(config)
    stored.unlink()
    assert runs.read_deviations(stored.parent, config) is None, "neither stored nor computable"


def test_a_frozen_run_starts_and_finishes_without_conf(tmp_path: Path, data_root: Path) -> None:
    package = tmp_path / "code" / "roadmap"
    shutil.copytree(ROOT / "roadmap", package, ignore=shutil.ignore_patterns("__pycache__"))
    directory = runs.prepare(tiny(tmp_path / "runs", data_root))
    (package / "conf").rename(package / "conf.away")
    env = os.environ | {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-P", "-m", "roadmap", "train", f"run={directory}"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert runs.finished(directory)
    stored = runs.read_json(directory / runs.DEVIATIONS)
    assert stored is not None and runs.read_result(directory / runs.RESULT)["deviations"] == stored["deviations"]

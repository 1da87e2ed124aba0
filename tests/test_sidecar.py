"""Sidecars log runs while they train, and the training does not notice them."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from helpers.mirrors import lines, logged, sidecars, wait_for_no_sidecar, without_key
from helpers.smoke import computed, interrupt, prepared, script, tiny, torchrun, words

from roadmap import runs
from roadmap.config.conf import to_dict
from roadmap.config.schema import Tracking
from roadmap.tracking import sidecar
from roadmap.tracking.mirror import run_record
from roadmap.tracking.trackers import SCRATCH
from roadmap.training.run import execute

__all__ = ["without_key"]
STEP = "+step=gelu"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished training that waits for its mirror as one of hours does."""
    monkeypatch.setattr(sidecar, "WAIT_SHARE", 1e9)


@pytest.fixture(params=["closed", pytest.param("silent", marks=pytest.mark.slow)])
def unreachable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key for a server that refuses connections, or takes them and never answers."""
    with socket.socket() as server, tempfile.TemporaryDirectory() as scratch:
        monkeypatch.setenv("TMPDIR", scratch)  # what is killed cannot tidy up
        server.bind(("127.0.0.1", 0))
        if request.param == "silent":
            server.listen()
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("patient")
def test_a_resumed_run_is_one_run_with_every_epoch_once(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    config = tiny(tmp_path, data_root, STEP, "tracking=wandb")
    directory = runs.prepare(config)
    interrupt(directory, 6)  # of 8 steps: the first epoch is over
    wait_for_no_sidecar(tmp_path)
    before = logged(directory / runs.TRACKING)
    assert ([line["epoch"] for line in before.history], before.exit_code) == ([1], 1)
    result = execute(directory)
    assert computed(directory) == computed(undisturbed)
    assert sidecars(tmp_path) == []
    after = logged(directory / runs.TRACKING)
    assert after.history == lines(directory)
    assert ([line["epoch"] for line in after.history], after.exit_code) == ([1, 2], 0)
    run = after.run
    assert run.run_id == before.run.run_id == run_record(config).id
    assert (run.project, run.display_name) == ("convnet-roadmap", "gelu seed 0")
    assert (run.run_group, run.job_type) == ("tiny", "run")
    config_there = {update.key: json.loads(update.value_json) for update in run.config.update}
    for key in ("model", "recipe", "seed"):
        assert config_there[key] == to_dict(config)[key]
    assert (after.summary["top1"], after.summary["params"]) == (result["metrics"]["top1"], result["params"])


@pytest.mark.slow
def test_a_sidecar_ends_with_a_training_that_is_killed(tmp_path: Path, data_root: Path) -> None:
    directory = prepared(tmp_path, data_root, "tracking=wandb", "recipe.epochs=500")
    process = script("train.py", f"run={directory}")
    while not list((directory / runs.TRACKING).glob("wandb/*/run-*.wandb")) or not (directory / runs.METRICS).exists():
        assert process.poll() is None
        time.sleep(0.05)
    (mirroring,) = sidecars(tmp_path)
    for ignored in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):  # as a scheduler sends them to all of a job
        os.kill(mirroring, ignored)
    process.kill()
    process.communicate()
    wait_for_no_sidecar(tmp_path, seconds=30)
    assert not (directory / runs.TRACKING / SCRATCH).exists()
    found = logged(directory / runs.TRACKING)
    assert found.exit_code == 1
    assert found.history == lines(directory)[: len(found.history)] and found.history


@pytest.mark.usefixtures("unreachable")
def test_training_does_not_notice_a_tracker_that_does_not_answer(
    undisturbed: Path, tmp_path: Path, data_root: Path
) -> None:
    directory = prepared(tmp_path, data_root, "tracking=wandb")
    execute(directory)
    (process,) = sidecars(tmp_path)  # still waits for an answer
    own = directory / runs.TRACKING / SCRATCH
    deadline = time.monotonic() + 30
    while not [*own.glob("*wandb-media")] or not [*own.glob("*wandb-artifacts")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    assert not [*Path(os.environ["TMPDIR"]).glob("tmp*wandb-*")], "in the run's directory only"
    assert computed(directory) == computed(undisturbed)


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_a_run_is_logged_to_files_if_the_server_does_not_answer(tmp_path: Path, data_root: Path) -> None:
    directory = prepared(tmp_path, data_root, "tracking=wandb")
    execute(directory)
    wait_for_no_sidecar(tmp_path, seconds=sidecar.LINGER_SECONDS + 5)
    assert (directory / runs.TRACKING / sidecar.LOG).read_text().count("this run is logged to files") == 1
    assert logged(directory / runs.TRACKING).history == lines(directory)
    assert logged(directory / runs.TRACKING).exit_code == 0


@pytest.mark.usefixtures("patient")
def test_a_sidecar_that_fails_or_cannot_be_started_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sidecar.mirrored(tmp_path, Tracking.wandb):  # there is no configuration to mirror
        pass
    log = tmp_path / runs.TRACKING / sidecar.LOG
    assert capsys.readouterr().err == f"wandb: see {log}\n"
    assert log.read_text().startswith("sidecar: ") and len(log.read_text().splitlines()) == 1

    monkeypatch.setattr(subprocess, "Popen", Mock(side_effect=OSError("Cannot allocate memory")))
    with sidecar.mirrored(tmp_path, Tracking.wandb):
        pass
    assert capsys.readouterr().err == "not mirrored: Cannot allocate memory\n"


@pytest.mark.slow
def test_only_the_first_process_of_a_run_starts_a_sidecar(tmp_path: Path, data_root: Path) -> None:
    asked = words(tmp_path, data_root, STEP, "tracking=wandb", "recipe.epochs=60")
    directory = tmp_path / "tiny" / "gelu" / "seed-0"
    process = torchrun(2, "train.py", *asked)
    most = 0
    while process.poll() is None:
        most = max(most, len(sidecars(tmp_path)))
        time.sleep(0.1)
    said, _ = process.communicate()
    assert (process.returncode, most) == (0, 1), said
    wait_for_no_sidecar(tmp_path)
    assert logged(directory / runs.TRACKING).history == lines(directory)

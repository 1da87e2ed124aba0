"""Trackers: what they are told, and that the training does not notice them."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from helpers.mirrors import mirrors, told, wait_for_no_mirror
from helpers.smoke import computed, inside, script, tiny, torchrun, words
from PIL import Image

from roadmap import runs
from roadmap.config.compose import compose, to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Tracking
from roadmap.errors import ConfigError
from roadmap.files import lock
from roadmap.report.figure import plot
from roadmap.results.collate import collate
from roadmap.signals import Interrupted
from roadmap.tracking import beside, trackers
from roadmap.tracking.mirror import SUMMARY, mirror_ladder, mirror_run, run_record
from roadmap.tracking.trackers import open_tracker
from roadmap.training.progress import Progress
from roadmap.training.run import execute

RUNG = "+step=gelu"


@pytest.fixture(autouse=True)
def without_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nobody has logged in to Weights & Biases."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished training that waits for its mirror as one of hours does."""
    monkeypatch.setattr(beside, "PATIENCE", 1e9)


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


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished run's directory, in a study of one run."""
    return Path(shutil.copytree(undisturbed, tmp_path / "runs" / "tiny" / "gelu" / "seed-0"))


def lines(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / runs.METRICS).read_text().splitlines()]


# Weights & Biases


@pytest.mark.usefixtures("patient")
def test_a_mirrored_run_is_told_completely_and_computes_the_same_bits(
    undisturbed: Path, tmp_path: Path, data_root: Path
) -> None:
    config = tiny(tmp_path, data_root, RUNG, "tracking=wandb")
    directory = runs.prepare(config)
    result = execute(directory)
    assert computed(directory) == computed(undisturbed)
    found = told(directory / runs.TRACKING)
    assert found.history == lines(directory)
    assert [line["epoch"] for line in found.history] == [1, 2]
    run = found.run
    assert (run.display_name, run.run_group, run.job_type) == ("gelu seed 0", "tiny", "run")
    assert (run.project, run.run_id) == ("convnet-roadmap", run_record(config).id)
    told_config = {update.key: json.loads(update.value_json) for update in run.config.update}
    assert {key: told_config[key] for key in ("model", "recipe", "seed")} == {
        key: value for key, value in to_dict(config).items() if key in ("model", "recipe", "seed")
    }
    assert (found.summary["counts"], found.summary["params"]) == (result["counts"], result["params"])
    assert found.exit_code == 0
    assert mirrors(tmp_path) == []


def test_a_resumed_run_is_one_run_with_every_epoch_once(
    undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "tracking=wandb"))
    tracking = directory / runs.TRACKING

    def stop(_: Progress, step: int, *__: object) -> None:
        if step == 6:  # of 8: the first epoch is over
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", stop)
        with pytest.raises(Interrupted):
            execute(directory)
    wait_for_no_mirror(tmp_path)
    before = told(tracking)
    assert ([line["epoch"] for line in before.history], before.exit_code) == ([1], 1)
    monkeypatch.setattr(beside, "PATIENCE", 1e9)
    execute(directory)
    after = told(tracking)
    assert after.run.run_id == before.run.run_id
    assert ([line["epoch"] for line in after.history], after.exit_code) == ([1, 2], 0)
    assert computed(directory) == computed(undisturbed)


@pytest.mark.slow
def test_a_mirror_ends_with_a_training_that_is_killed(tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "tracking=wandb", "recipe.epochs=500"))
    process = script("train.py", f"run={directory}")
    while not list((directory / runs.TRACKING).glob("wandb/*/run-*.wandb")) or not (directory / runs.METRICS).exists():
        assert process.poll() is None
        time.sleep(0.05)
    (mirror,) = mirrors(tmp_path)
    for ignored in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):  # as a scheduler sends them to all of a job
        os.kill(mirror, ignored)
    process.kill()
    process.communicate()
    wait_for_no_mirror(tmp_path, seconds=30)
    found = told(directory / runs.TRACKING)
    assert found.exit_code == 1
    assert found.history == lines(directory)[: len(found.history)] and found.history


def test_a_run_has_the_same_id_wherever_and_however_it_is_carried_out(tmp_path: Path, data_root: Path) -> None:
    first = run_record(tiny(tmp_path, data_root, RUNG))
    there = tiny(tmp_path / "there", tmp_path, RUNG, "tracking=wandb", "training.threads=2", "study.seeds=3")
    assert run_record(there).id == first.id
    others = [RUNG, "seed=1"], ["+step=layer_norm"], [RUNG, "recipe.lr=0.5"], [RUNG, "study.name=other"]
    ids = {first.id, *(run_record(tiny(tmp_path, data_root, *more)).id for more in others)}
    assert len(ids) == 5
    own = run_record(tiny(tmp_path, data_root, RUNG, f"step.name=a.+{'b' * 150}"))
    assert len(own.id) < 100 and own.id.replace("-", "").replace("_", "").isalnum()


def test_tracking_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    without, mirrored = compose(["study=smoke"]), compose(["study=smoke", "tracking=wandb", f"runs_dir={tmp_path}"])
    assert digest(to_dict(mirrored)) == digest(to_dict(without))
    assert mirrored.study.name == "smoke"
    runs.prepare(mirrored)
    runs.prepare(compose(["study=smoke", f"runs_dir={tmp_path}"]))


# Trouble


@pytest.mark.usefixtures("unreachable")
def test_a_tracker_that_does_not_answer_is_not_noticed(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "tracking=wandb"))
    execute(directory)
    (mirror,) = mirrors(tmp_path)  # still waits for an answer
    os.kill(mirror, signal.SIGKILL)
    assert computed(directory) == computed(undisturbed)


@pytest.mark.slow
@pytest.mark.usefixtures("unreachable")
def test_what_a_server_did_not_take_goes_into_files_and_nothing_is_left_behind(tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "tracking=wandb"))
    execute(directory)
    wait_for_no_mirror(tmp_path, seconds=beside.LINGER_SECONDS + 5)
    assert (directory / runs.TRACKING / beside.LOG).read_text().count("this goes into files") == 1
    assert told(directory / runs.TRACKING).history == lines(directory)
    assert told(directory / runs.TRACKING).exit_code == 0


def test_wandbs_own_process_may_never_end(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise wandb.errors.AuthenticationError("no answer")

    monkeypatch.setattr(wandb, "login", refuse)
    monkeypatch.setattr(wandb, "teardown", lambda exit_code: threading.Event().wait())
    monkeypatch.setattr(trackers, "PARTING_SECONDS", 0.1)
    with pytest.raises(ConnectionError, match="wandb: no answer"):
        open_tracker(Tracking.wandb, run_record(tiny(tmp_path, data_root, RUNG)), tmp_path, beside=False)


@pytest.mark.usefixtures("patient")
def test_a_mirror_that_fails_or_cannot_be_started_is_reported_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with beside.mirrored(tmp_path, Tracking.wandb):  # there is no configuration to mirror
        pass
    log = tmp_path / runs.TRACKING / beside.LOG
    assert capsys.readouterr().err == f"wandb: see {log}\n"
    assert "ConfigError: " in log.read_text()

    def start(*_: object, **__: object) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", start)
    with beside.mirrored(tmp_path, Tracking.wandb):
        pass
    assert capsys.readouterr().err == "not mirrored: Cannot allocate memory\n"


@pytest.mark.slow
def test_only_the_first_of_several_processes_mirrors(tmp_path: Path, data_root: Path) -> None:
    asked = words(tmp_path, data_root, RUNG, "tracking=wandb", "recipe.epochs=60")
    directory = tmp_path / "tiny" / "gelu" / "seed-0"
    process = torchrun(2, "train.py", *asked)
    most = 0
    while process.poll() is None:
        most = max(most, len(mirrors(tmp_path)))
        time.sleep(0.1)
    said, _ = process.communicate()
    assert (process.returncode, most) == (0, 1), said
    wait_for_no_mirror(tmp_path)
    assert told(directory / runs.TRACKING).history == lines(directory)


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="tracking=tensorboard: allowed is none, or tensorboard after pip install"):
        compose(["study=smoke", "tracking=tensorboard"])
    compose(["study=smoke"])


# Later, from the files


def push(study: Path, *more: str) -> tuple[int, str]:
    """Run scripts/push.py on a study, and end what wandb keeps running in this process."""
    import wandb

    places = [f"study={study.name}", f"runs_dir={study.parent}", f"results_dir={study.parent.parent / 'results'}"]
    try:
        return inside("scripts/push.py", *places, *more)
    finally:
        wandb.teardown()


def test_a_study_is_told_again_from_its_files(finished: Path, tmp_path: Path) -> None:
    study = finished.parents[1]
    code, said = push(study)
    assert code == 0 and "no ladder yet" in said
    collate("tiny", study.parent, tmp_path / "results")
    plot("tiny", tmp_path / "results")
    for _ in range(2):
        code, said = push(study)
        assert code == 0, said
        run = told(finished / runs.TRACKING)
        assert (run.history, run.exit_code) == (lines(finished), 0)
        ladder = told(study / SUMMARY / runs.TRACKING)
        assert (ladder.run.run_group, ladder.run.job_type, ladder.exit_code) == ("tiny", "summary", 0)
        assert {"ladder", "figure"} <= {key.partition(".")[0] for key in ladder.history[0]}
    (table,) = (study / SUMMARY / runs.TRACKING).glob("wandb/offline-run-*/files/media/table/*.json")
    rows = json.loads(table.read_text())
    assert "gelu" in [row[rows["columns"].index("step")] for row in rows["data"]]
    (figure,) = (study / SUMMARY / runs.TRACKING).glob("wandb/offline-run-*/files/media/images/*.png")
    with Image.open(figure) as shown, Image.open(tmp_path / "results" / "tiny" / "ladder.png") as drawn:
        assert shown.size == drawn.size


def test_push_says_what_it_cannot_do(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = finished.parents[1]
    assert push(study, "tracking=none") == (2, "push.py: tracking=none: allowed is wandb or tensorboard\n")
    assert push(study.parent / "other")[0] == 2
    with lock(finished / runs.TRACKING):
        assert "left to the process that mirrors it" in push(study)[1]
    monkeypatch.setenv("WANDB_API_KEY", "too short")
    code, said = push(study)
    assert code == 1 and said.startswith("push.py: ConnectionError: wandb: ") and len(said.splitlines()) < 4


# TensorBoard


def test_tensorboard_is_told_the_same(finished: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = finished.parents[1]
    collate("tiny", study.parent, tmp_path / "results")
    plot("tiny", tmp_path / "results")
    for _ in range(2):
        mirror_run(finished, Tracking.tensorboard)
        mirror_ladder(study, tmp_path / "results" / "tiny", Tracking.tensorboard)
    (store,) = (finished / runs.TRACKING / "tensorboard").iterdir()
    events = EventAccumulator(str(store))
    events.Reload()
    for key in ("loss", "top1", "ema_top1"):
        found = [(event.step, event.value) for event in events.Scalars(key)]
        assert found == [(line["epoch"], pytest.approx(line[key])) for line in lines(finished)]
    assert {"config/text_summary", "result/text_summary"} <= set(events.Tags()["tensors"])
    (store,) = (study / SUMMARY / runs.TRACKING / "tensorboard").iterdir()
    events = EventAccumulator(str(store))
    events.Reload()
    assert events.Tags()["images"] == ["figure"]


@pytest.mark.slow
def test_a_run_with_tensorboard_is_mirrored_as_it_trains(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(beside, "PATIENCE", 1e9)
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "tracking=tensorboard"))
    execute(directory)
    (store,) = (directory / runs.TRACKING / "tensorboard").iterdir()
    events = EventAccumulator(str(store))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2]

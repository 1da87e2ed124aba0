"""Runs and studies are logged to trackers from their files."""

import importlib.util
import json
import os
import shutil
import tempfile
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import wandb
from helpers.mirrors import lines, logged, without_key
from helpers.smoke import inside, tiny
from PIL import Image

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Tracking
from roadmap.errors import ConfigError
from roadmap.files import lock
from roadmap.report.plot import plot
from roadmap.results.collate import collate
from roadmap.tracking import trackers
from roadmap.tracking.mirror import SUMMARY, mirror_ladder, mirror_run, run_record
from roadmap.tracking.trackers import SCRATCH, open_tracker, scratch

__all__ = ["without_key"]
STEP = "+step=gelu"


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished run's directory, in a study of one run."""
    return Path(shutil.copytree(undisturbed, tmp_path / "runs" / "tiny" / "gelu" / "seed-0"))


def draw(results: Path) -> None:
    """Make the table and the figure of that study."""
    collate("tiny", results.parent / "runs", results)
    plot("tiny", results)


def push(study: Path, *more: str) -> tuple[int, str]:
    """Run scripts/push.py on a study, and end what wandb keeps running in this process."""
    places = [f"study={study.name}", f"runs_dir={study.parent}", f"results_dir={study.parent.parent / 'results'}"]
    try:
        return inside("scripts/push.py", *places, *more)
    finally:
        wandb.teardown()


def test_the_id_of_a_run_follows_from_what_it_computes(tmp_path: Path, data_root: Path) -> None:
    here = tiny(tmp_path, data_root, STEP)
    there = tiny(tmp_path / "there", tmp_path, STEP, "tracking=wandb", "training.threads=2", "study.seeds=3")
    first = run_record(here)
    assert run_record(there).id == first.id and digest(to_dict(there)) == digest(to_dict(here))
    assert compose(["study=smoke", "tracking=wandb"]).study.name == "smoke"
    others = [STEP, "seed=1"], ["+step=layer_norm"], [STEP, "recipe.lr=0.5"], [STEP, "study.name=other"]
    assert len({first.id, *(run_record(tiny(tmp_path, data_root, *more)).id for more in others)}) == 5
    own = run_record(tiny(tmp_path, data_root, STEP, f"step.name=a.+{'b' * 150}"))
    assert len(own.id) < 100 and own.id.replace("-", "").replace("_", "").isalnum()


def test_wandbs_own_process_may_never_end(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "login", Mock(side_effect=wandb.errors.AuthenticationError("no answer")))
    monkeypatch.setattr(wandb, "teardown", lambda exit_code: threading.Event().wait())
    monkeypatch.setattr(trackers, "TEARDOWN_SECONDS", 0.1)
    with pytest.raises(ConnectionError, match="wandb: no answer"):
        open_tracker(Tracking.wandb, run_record(tiny(tmp_path, data_root, STEP)), tmp_path, live=False)


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="tracking=tensorboard: allowed is none, or tensorboard after pip install"):
        compose(["study=smoke", "tracking=tensorboard"])
    compose(["study=smoke"])


def test_push_logs_a_study_from_its_files(finished: Path, tmp_path: Path) -> None:
    study = finished.parents[1]
    code, said = push(study)
    assert code == 0 and "no table or figure yet" in said
    draw(tmp_path / "results")
    for _ in range(2):
        code, said = push(study)
        assert code == 0, said
        run = logged(finished / runs.TRACKING)
        assert (run.history, run.exit_code) == (lines(finished), 0)
        ladder = logged(study / SUMMARY / runs.TRACKING)
        assert (ladder.run.run_group, ladder.run.job_type, ladder.exit_code) == ("tiny", "summary", 0)
        assert {"ladder", "figure"} <= {key.partition(".")[0] for key in ladder.history[0]}
    (table,) = (study / SUMMARY / runs.TRACKING).glob("wandb/offline-run-*/files/media/table/*.json")
    assert not (study / SUMMARY / runs.TRACKING / SCRATCH).exists()
    rows = json.loads(table.read_text())
    assert "gelu" in [row[rows["columns"].index("step")] for row in rows["data"]]
    (figure,) = (study / SUMMARY / runs.TRACKING).glob("wandb/offline-run-*/files/media/images/*.png")
    with Image.open(figure) as shown, Image.open(tmp_path / "results" / "tiny" / "ladder.png") as drawn:
        assert shown.size == drawn.size


def test_temporary_files_are_kept_in_the_runs_directory_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # as the path of a socket must be
        see_scratch(Path(short), monkeypatch)


def see_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / SCRATCH / "tmp1wandb-media").mkdir()  # of a process that was killed
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    with scratch(tmp_path):
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path / SCRATCH)
        assert not [*(tmp_path / SCRATCH).glob("*wandb*")]
    assert os.environ["TMPDIR"] == "/elsewhere" and [*tmp_path.iterdir()] == []
    deep = tmp_path / ("x" * 100)
    with scratch(deep):
        assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(deep / SCRATCH), "/elsewhere"), "no socket fits"


def test_push_refuses_or_reports_what_it_cannot_do(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = finished.parents[1]
    assert push(study, "tracking=none") == (2, "push: tracking=none: allowed is one of wandb tensorboard\n")
    assert push(study.parent / "other")[0] == 2
    with lock(finished / runs.TRACKING):
        assert "skipped, the sidecar of its training" in push(study)[1]
    monkeypatch.setenv("WANDB_API_KEY", "too short")
    code, said = push(study)
    assert code == 1 and said.startswith("push: ConnectionError: wandb: ") and len(said.splitlines()) < 4


def test_tensorboard_gets_the_same_epochs_table_and_figure(finished: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = finished.parents[1]
    draw(tmp_path / "results")
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

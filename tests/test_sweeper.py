"""Sweeps with real processes: what they train, skip, resume and report."""

import io
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from helpers.processes import Trainer
from helpers.smoke import at_step, computed, inside, script, words, working_on
from rich.console import Console

from roadmap import runs
from roadmap.files import lock
from roadmap.sweep import local, sweeper
from roadmap.sweep.plan import make_plan
from roadmap.sweep.status import Phase, RunState

pytestmark = pytest.mark.xdist_group("sweep")  # one worker makes the sweep that many tests share
TWO = "steps=[resnet,gelu]"
Swept = tuple[list[str], Path, str]


def sweep(*arguments: str) -> tuple[int, str]:
    """The exit code of a sweep in this process, whose runs are processes of their own, and what it says."""
    return inside("scripts/sweep.py", *arguments)


def wait_for(directory: Path, *, running: int, seconds: float = 60) -> None:
    """Wait until this many processes train runs of a directory."""
    deadline = time.monotonic() + seconds
    while len(working_on(directory)) != running:
        assert time.monotonic() < deadline, f"never {running}: {working_on(directory)}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def swept(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Swept:
    """A finished sweep of two steps: its words, its study's directory, what it printed."""
    directory = tmp_path_factory.mktemp("swept")
    arguments = words(directory, data_root, TWO, "jobs=2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "start", Trainer)
        code, output = sweep(*arguments)
    assert code == 0, output
    assert computed(directory / "tiny" / "gelu" / "seed-0") == computed(undisturbed)
    return arguments, directory / "tiny", output


def test_a_sweep_brings_every_run_to_its_result_and_ends_at_once_if_it_is_finished(swept: Swept) -> None:
    arguments, study, output = swept
    written = {path: path.stat().st_mtime_ns for path in runs.find_results(study)}
    assert [path.parts[-3] for path in written] == ["gelu", "resnet"]
    assert all(runs.finished(path.parent) and f"{path.parts[-3]} seed 0: top-1" in output for path in written)
    assert "2 of 2 runs finished, 2 of them now" in output
    started = time.monotonic()
    code, output = sweep(*arguments)
    assert time.monotonic() - started < 10
    assert (code, "2 of 2 runs finished, 0 of them now" in output) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.usefixtures("undisturbed")  # has imported what a training imports, which forks share
def test_a_run_that_cannot_be_started_does_not_stop_the_others(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(state: RunState, environment: dict[str, str]) -> Trainer:
        if state.run.step == "resnet":
            raise OSError("Cannot allocate memory")
        return Trainer(state, environment)

    monkeypatch.setattr(local, "start", start)
    console = Console(file=io.StringIO(), width=200)
    states = sweeper.sweep(make_plan(words(tmp_path, data_root, TWO, "jobs=1")), console)
    assert [(state.run.step, state.phase) for state in states] == [("resnet", Phase.failed), ("gelu", Phase.finished)]
    assert "resnet seed 0 FAILED: could not be started: Cannot allocate memory" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_directory_with_another_configuration_is_refused(swept: Swept) -> None:
    code, output = sweep(*swept[0], "recipe.warmup_epochs=1")
    assert code == 2 and "holds another run: recipe.warmup_epochs" in output


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, data_root: Path) -> None:
    code, output = sweep(*words(tmp_path, data_root, TWO, "seeds=2"), "--dry-run")
    assert code == 0
    assert [line.split("/")[-2] for line in output.splitlines() if line.startswith("to do")] == ["resnet", "gelu"] * 2
    assert not (tmp_path / "tiny").exists()


def test_a_failed_run_is_reported_and_does_not_stop_the_others(
    tmp_path: Path, data_root: Path, swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what failed or is damaged is computed again."""
    monkeypatch.setattr(local, "start", Trainer)
    shutil.copytree(swept[1] / "gelu", tmp_path / "tiny" / "gelu")
    damaged, failed = (tmp_path / "tiny" / step / "seed-0" for step in ("gelu", "resnet"))
    (damaged / runs.RESULT).write_text((damaged / runs.RESULT).read_text()[:-100])
    in_the_way = failed / f"{runs.CHECKPOINT}.new"
    (in_the_way / "full").mkdir(parents=True)
    code, output = sweep(*words(tmp_path, data_root, TWO, "jobs=1"))
    assert code == 1
    assert re.search(r"resnet seed 0 FAILED: IsADirectoryError: .*failure\.json", output)
    assert output.index("FAILED") < output.index("gelu seed 0: top-1")
    assert "Traceback" in (runs.read_json(failed / runs.FAILURE) or {})["traceback"]
    assert computed(damaged) == computed(swept[1] / "gelu" / "seed-0")
    (in_the_way / "full").rmdir()
    in_the_way.rmdir()
    code, output = sweep(*words(tmp_path, data_root, TWO, "jobs=1"))
    assert (code, "2 of 2 runs finished, 1 of them now" in output) == (0, True)
    assert not (failed / runs.FAILURE).exists()


def test_a_second_sweep_of_the_same_study_is_refused(tmp_path: Path, data_root: Path) -> None:
    with lock(tmp_path / "tiny"):
        code, output = sweep(*words(tmp_path, data_root, TWO))
    assert code == 2 and f"is in use by process {os.getpid()}" in output
    assert runs.find_results(tmp_path / "tiny") == []


@pytest.mark.parametrize(
    ("number", "steps"),
    [
        (signal.SIGINT, ["gelu"]),
        *(pytest.param(n, ["resnet", "gelu"], marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGKILL)),
    ],
)
def test_a_stopped_sweep_stops_its_processes_and_resumes(
    number: int, steps: list[str], tmp_path: Path, data_root: Path, swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = words(tmp_path, data_root, f"steps=[{','.join(steps)}]", "jobs=2")
    process = script("scripts/sweep.py", *arguments)
    wait_for(tmp_path, running=len(steps))
    process.send_signal(number)
    output, _ = process.communicate()
    if number is not signal.SIGKILL:  # then the next sweep waits for them
        assert working_on(tmp_path) == []
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    assert "Traceback" not in output
    monkeypatch.setattr(local, "start", Trainer)
    assert sweep(*arguments)[0] == 0
    for step in steps:
        assert computed(tmp_path / "tiny" / step / "seed-0") == computed(swept[1] / step / "seed-0")


def test_a_directory_removed_in_mid_sweep_is_named_and_the_others_go_on(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "tiny" / "resnet" / "seed-0"
    at_step(monkeypatch, 1, lambda: shutil.rmtree(gone, ignore_errors=True))
    monkeypatch.setattr(local, "start", Trainer)
    console = Console(file=io.StringIO(), width=400)
    states = sweeper.sweep(make_plan(words(tmp_path, data_root, TWO, "jobs=1")), console)
    assert [(state.run.step, state.phase) for state in states] == [("resnet", Phase.failed), ("gelu", Phase.finished)]
    assert not gone.exists()
    assert f"resnet seed 0 FAILED: {gone} was removed while the run was going on" in console.file.getvalue()  # type: ignore[attr-defined]

"""The sweep, with real processes: what it does, what it does not do twice, and how it ends."""

import io
import os
import re
import signal
import time
from pathlib import Path

import pytest
from helpers.smoke import computed, script, words, working_on
from rich.console import Console

from roadmap import runs
from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.files import lock
from roadmap.sweep import local
from roadmap.sweep import sweeper as sweeping
from roadmap.sweep.board import Row, State, duration, seconds_left
from roadmap.sweep.plan import Run, make_plan

pytestmark = pytest.mark.xdist_group("sweep")  # one process makes the sweep that many of these look at
TWO = "steps=[resnet,gelu]"


def sweep(*arguments: str) -> tuple[int, str]:
    process = script("scripts/sweep.py", *arguments)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def wait_for(directory: Path, *, runs_at_work: int, seconds: float = 60) -> None:
    """Until so many processes work on the runs of a directory."""
    deadline = time.monotonic() + seconds
    while len(working_on(directory)) != runs_at_work:
        assert time.monotonic() < deadline, f"never {runs_at_work}: {working_on(directory)}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[list[str], Path, str]:
    """A finished sweep of two rungs and two seeds: its words, its study's directory, what it printed."""
    directory = tmp_path_factory.mktemp("swept")
    arguments = words(directory, data_root, TWO, "seeds=2", "jobs=2")
    code, output = sweep(*arguments)
    assert code == 0, output
    return arguments, directory / "tiny", output


def test_a_sweep_brings_every_run_to_its_result(swept: tuple[list[str], Path, str]) -> None:
    _, study, output = swept
    assert len(runs.find_results(study)) == 4
    for step in ("resnet", "gelu"):
        for seed in (0, 1):
            assert runs.finished(study / step / f"seed-{seed}")
            assert f"{step} seed {seed}: top-1" in output
    assert "4 of 4 runs finished, 4 of them now" in output


@pytest.mark.slow
def test_a_run_that_cannot_even_be_started_takes_nothing_from_the_others(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(row: Row, environment: dict[str, str]) -> local.Process:
        if row.run.step == "resnet":
            raise OSError("Cannot allocate memory")
        return start_process(row, environment)

    start_process = local.start
    monkeypatch.setattr(local, "start", start)
    console = Console(file=io.StringIO(), width=200)
    rows = sweeping.sweep(make_plan(words(tmp_path, data_root, TWO, "jobs=1")), console)
    assert [(row.run.step, row.state) for row in rows] == [("resnet", State.failed), ("gelu", State.finished)]
    assert "resnet seed 0 FAILED: could not be started: Cannot allocate memory" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_finished_sweep_ends_at_once(swept: tuple[list[str], Path, str]) -> None:
    arguments, study, _ = swept
    before = {path: path.stat().st_mtime_ns for path in runs.find_results(study)}
    started = time.monotonic()
    code, output = sweep(*arguments)
    assert time.monotonic() - started < 10
    assert (code, "4 of 4 runs finished, 0 of them now" in output) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in runs.find_results(study)} == before


def test_only_what_is_missing_or_broken_is_done_again(swept: tuple[list[str], Path, str]) -> None:
    arguments, study, _ = swept
    kept = {path: path.stat().st_mtime_ns for path in runs.find_results(study)}
    broken = study / "gelu" / "seed-1" / runs.RESULT
    before = computed(broken.parent)
    broken.write_text(broken.read_text()[:-100])
    code, output = sweep(*arguments)
    assert (code, "4 of 4 runs finished, 1 of them now" in output) == (0, True)
    assert computed(broken.parent) == before
    assert all(path.stat().st_mtime_ns == kept[path] for path in kept if path != broken)


def test_another_configuration_is_not_mixed_in(swept: tuple[list[str], Path, str]) -> None:
    arguments, _, _ = swept
    code, output = sweep(*arguments, "recipe.warmup_epochs=1")
    assert code == 2
    assert "holds another run: recipe.warmup_epochs" in output
    assert "Traceback" not in output


def test_the_plan_is_shown_and_nothing_done(tmp_path: Path, data_root: Path) -> None:
    code, output = sweep(*words(tmp_path, data_root, "seeds=2"), "--dry-run")
    assert code == 0
    listed = [line.split("/")[-2] for line in output.splitlines() if line.startswith("to do")]
    assert listed == [rung.name for rung in steps()] * 2
    assert not (tmp_path / "tiny").exists()


def test_a_run_that_fails_is_reported_and_the_others_go_on(tmp_path: Path, data_root: Path) -> None:
    in_the_way = tmp_path / "tiny" / "resnet" / "seed-0" / f"{runs.CHECKPOINT}.new"
    (in_the_way / "full").mkdir(parents=True)
    code, output = sweep(*words(tmp_path, data_root, TWO, "jobs=1"))
    assert code == 1
    assert re.search(r"resnet seed 0 FAILED: IsADirectoryError: .*failure\.json", output)
    assert output.index("FAILED") < output.index("gelu seed 0: top-1")
    failure = runs.read_json(in_the_way.parent / runs.FAILURE)
    assert failure is not None
    assert "Traceback" in failure["traceback"]
    assert runs.finished(tmp_path / "tiny" / "gelu" / "seed-0")
    (in_the_way / "full").rmdir()
    in_the_way.rmdir()
    code, output = sweep(*words(tmp_path, data_root, TWO, "jobs=1"))
    assert (code, "2 of 2 runs finished, 1 of them now" in output) == (0, True)
    assert not (in_the_way.parent / runs.FAILURE).exists()


def test_a_second_sweep_over_the_same_study_is_refused(tmp_path: Path, data_root: Path) -> None:
    with lock(tmp_path / "tiny"):
        code, output = sweep(*words(tmp_path, data_root, TWO))
    assert code == 2
    assert f"is in use by process {os.getpid()}" in output
    assert runs.find_results(tmp_path / "tiny") == []


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGKILL))],
)
def test_a_sweep_takes_its_processes_with_it_and_goes_on_later(
    number: signal.Signals, tmp_path: Path, data_root: Path, swept: tuple[list[str], Path, str]
) -> None:
    arguments = words(tmp_path, data_root, TWO, "jobs=2")
    process = script("scripts/sweep.py", *arguments)
    wait_for(tmp_path, runs_at_work=2)
    process.send_signal(number)
    output, _ = process.communicate()
    if number is not signal.SIGKILL:  # then the next sweep waits for them
        assert working_on(tmp_path) == []
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    assert "Traceback" not in output
    code, _ = sweep(*arguments)
    assert code == 0
    for step in ("resnet", "gelu"):
        assert computed(tmp_path / "tiny" / step / "seed-0") == computed(swept[1] / step / "seed-0")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps=[gleu]", "step=gleu: allowed is one of resnet training_recipe"),
        ("steps=rsnet", "step=rsnet: allowed is one of resnet"),
        ("steps=rsnet", "(did you mean resnet?)"),
        ("seeds=0", "seeds=0: allowed is more than 0"),
        ("seeds=many", "seeds=many"),
        ("only=side", "expected one of [main_sequence, all]"),
        ("jobz=2", "jobz"),
        ("+step=gelu", "steps=[NAME,...]"),
        ("seed=3", "seeds=N"),
        ("recipe.lrr=1", "did you mean lr"),
    ],
)
def test_bad_words_are_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan([word])
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2


def test_the_plan_takes_what_is_asked_for() -> None:
    def planned(*asked: str) -> list[tuple[str, int]]:
        return [(run.step, run.seed) for run in make_plan(["study=smoke", *asked]).runs]

    assert planned() == [(rung.name, 0) for rung in steps()]
    for word in ("only=main_sequence", "only=path"):
        assert planned(word) == [(rung.name, 0) for rung in steps() if rung.main_sequence]
    assert planned("steps=[gelu,resnet]", "seeds=2") == [
        ("resnet", 0),
        ("gelu", 0),
        ("resnet", 1),
        ("gelu", 1),
    ]
    assert make_plan(["study=smoke", "jobs=7", "steps=[gelu]"]).jobs == 7
    for wrong in ("jobs=0", "jobs=many"):
        with pytest.raises(ConfigError, match=f"{wrong}: allowed is auto, or a number more than 0"):
            make_plan(["study=smoke", wrong])
    assert planned("study=imagenet", "steps=[gelu]") == [("gelu", 0), ("gelu", 1), ("gelu", 2)]
    changed = make_plan(["study=smoke", "recipe.lr=1", "steps=[gelu]"])
    assert str(changed.study) == "runs/smoke,recipe.lr=1"


def test_time_left_is_the_mean_of_what_is_known() -> None:
    run = Run("gelu", 0, Path())
    rows = [
        Row(run, State.finished, seconds=100, share=1.0),
        Row(run, State.running, seconds=50, share=0.5),
        Row(run),
    ]
    assert seconds_left(rows, 1) == 150
    assert seconds_left(rows, 2) == 75
    assert seconds_left([Row(run)], 1) is None
    assert [duration(s) for s in (4.4, 200, 18720)] == ["4 s", "3 min 20 s", "5 h 12 min"]

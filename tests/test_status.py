"""The state of runs as the sweep and `status` show it."""

import io
import time
from pathlib import Path

import pytest
from helpers.smoke import inside, interrupt, prepared

from roadmap import runs
from roadmap.cli import duration
from roadmap.config.compose import compose, load
from roadmap.sweep.plan import Run
from roadmap.sweep.status import Phase, RunState, reasons, seconds_left, table
from roadmap.terminal import Terminal
from roadmap.training.progress import Progress
from roadmap.training.run import execute


def test_time_left_follows_from_the_mean_of_known_runs() -> None:
    run = Run("gelu", 0, Path())
    finished = RunState(run, Phase.finished, seconds=100, share=1.0)
    states = [finished, RunState(run, Phase.running, seconds=50, share=0.5), RunState(run)]
    assert (seconds_left(states, 1), seconds_left(states, 2), seconds_left(states[2:], 1)) == (150, 100, None)
    assert seconds_left(states[:2], jobs=8) == 50, "the last run is not divided"


def test_the_first_estimate_does_not_multiply_the_startup() -> None:
    """A run of 60 s took 12 s to import torch and 5 s for its first step, a hundredth of all."""
    states = [RunState(Run(step, 0, Path())) for step in "abcd"]
    states[0] = RunState(states[0].run, Phase.running, seconds=5, share=0.01, seen=(5, 0.01), startup=17)
    assert seconds_left(states, 2) is None, "nothing is known yet"
    states[0].seconds, states[0].share = 8.6, 0.07
    assert seconds_left(states[:1], 2) == pytest.approx(55.8)
    assert seconds_left(states, 2) == pytest.approx((55.8 + 3 * 77) / 2)


def test_the_table_has_the_change_and_says_how_many_rows_it_hides() -> None:
    def state(step: str, top1: float | None, parent: str | None, phase: Phase = Phase.finished) -> RunState:
        return RunState(Run(step, 1, Path()), phase, top1=top1, parent=parent, seconds=61, share=0.5)

    states = [state("resnet", 80.25, None), state("gelu", 81.0, "resnet"), state("grn", 82.0, "absent")]
    states += [state("act", 70.0, "resnet", Phase.running), *(RunState(Run(f"x{n}", 1, Path())) for n in range(9))]
    Terminal(file=(said := io.StringIO()), width=100).print(table(states, 2, height=10))
    lines = said.getvalue().splitlines()
    assert len(lines) <= 10 and lines[-1].strip().endswith("; 9 runs not shown")
    cells = {
        row[0]: row[4:] for line in lines if len(row := [each.strip() for each in line.strip("│ ").split("│")]) > 5
    }
    assert cells["gelu"] == ["81.00", "+0.75", "1 min 1 s"]
    assert cells["resnet"][1] == cells["grn"][1] == cells["act"][1] == ""


def test_time_means_the_same_while_a_run_works_and_when_it_is_finished(tmp_path: Path, data_root: Path) -> None:
    directory = prepared(tmp_path, data_root)
    with Progress(load(directory / runs.CONFIG), directory) as progress:
        progress.begin(10, 1, seconds=3600)
        progress.step(10, loss=1.0, lr=0.1)
    state = RunState(Run("gelu", 0, directory), Phase.running, started=time.monotonic() - 1000)
    state.refresh()
    assert 3600 < state.seconds < 3610 and state.startup == pytest.approx(1000, abs=5), (
        "what the run says of itself, over all of its processes"
    )
    interrupt(directory, 6)
    with pytest.MonkeyPatch.context() as patch:
        begun: list[float] = []
        patch.setattr(Progress, "begin", lambda _, steps, epochs, seconds: begun.append(seconds))
        result = execute(directory)
    assert 0 < begun[0] < result["wall_seconds"], "a resumed run goes on from its checkpoint's time"


def test_the_reasons_of_failures_are_said_once_each_and_last(tmp_path: Path) -> None:
    states = [RunState(Run(step, 0, tmp_path / step), Phase.failed) for step in ("a", "b", "c")]
    for state, error in zip(
        states, ("out of memory:\n try less", "out of memory:\n try less", "DataError: x"), strict=True
    ):
        state.run.directory.mkdir()
        runs.write_json(state.run.directory / runs.FAILURE, {"error": error})
    places = [tmp_path / step / runs.FAILURE for step in ("a", "c")]
    assert reasons([*states, RunState(Run("d", 0, tmp_path))]) == [
        f"failed: a seed 0, b seed 0: out of memory: try less (see {places[0]})",
        f"failed: c seed 0: DataError: x (see {places[1]})",
    ]
    assert [duration(s) for s in (4.4, 200, 18720, 216000)] == ["4 s", "3 min 20 s", "5 h 12 min", "2.5 days"]


def test_status_composes_only_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    monkeypatch.setattr("roadmap.sweep.plan.compose", lambda words: composed.append(words) or compose(words))
    code, output = inside("scripts/sweep.py", "status", "study=smoke", "seeds=2", f"runs_dir={tmp_path}")
    assert code == 0 and "separate_downsampling" in output
    assert len(composed) == 1, "the study, none of its steps"

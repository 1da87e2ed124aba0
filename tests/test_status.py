"""The state of runs as the sweep and `status` show it."""

from pathlib import Path

import pytest
from helpers.smoke import inside

from roadmap.cli import duration
from roadmap.config.compose import compose
from roadmap.sweep.plan import Run
from roadmap.sweep.status import Phase, RunState, seconds_left


def test_time_left_follows_from_the_mean_of_known_runs() -> None:
    run = Run("gelu", 0, Path())
    finished = RunState(run, Phase.finished, seconds=100, share=1.0)
    states = [finished, RunState(run, Phase.running, seconds=50, share=0.5), RunState(run)]
    assert (seconds_left(states, 1), seconds_left(states, 2), seconds_left(states[2:], 1)) == (150, 75, None)
    assert [duration(s) for s in (4.4, 200, 18720, 216000)] == ["4 s", "3 min 20 s", "5 h 12 min", "2.5 days"]


def test_status_composes_only_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    monkeypatch.setattr("roadmap.sweep.plan.compose", lambda words: composed.append(words) or compose(words))
    code, output = inside("scripts/sweep.py", "status", "study=smoke", "seeds=2", f"runs_dir={tmp_path}")
    assert code == 0 and "separate_downsampling" in output
    assert len(composed) == 1, "the study, none of its steps"

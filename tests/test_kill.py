"""A sweep that is killed again and again ends with the results of an undisturbed one."""

import contextlib
import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest
from helpers.smoke import computed, script, words, working_on

from roadmap import runs
from roadmap.config.steps import steps

KILLS = 20


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_ends_like_one_that_was_not(tmp_path: Path, data_root: Path) -> None:
    rng = random.Random(0)

    def arguments(name: str) -> list[str]:
        return words(tmp_path / name, data_root, "seeds=2", "jobs=2", "training.checkpoint_minutes=0.0001")

    undisturbed = script("scripts/sweep.py", *arguments("undisturbed"))
    output, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, output
    finished: dict[Path, int] = {}
    kills = 0
    while True:
        process = script("scripts/sweep.py", *arguments("killed"))
        if kills == KILLS:
            output, _ = process.communicate()
            assert process.returncode == 0, output
            break
        time.sleep(rng.uniform(2, 12))
        victims = [process.pid, *working_on(tmp_path / "killed")]
        assert process.poll() is None, "the sweep ended before it was killed twenty times: give it more to do"
        for victim in victims if rng.random() < 0.5 else [rng.choice(victims)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        kills += 1
        if process.poll() is None:
            process.kill()
        process.communicate()
        for path, written in finished.items():
            assert path.stat().st_mtime_ns == written, f"{path} was finished and repeated"
        for path in runs.find_results(tmp_path / "killed" / "tiny"):  # orphans may still be running
            assert runs.finished(path.parent)
            finished[path] = path.stat().st_mtime_ns
    assert kills == KILLS
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    for step, seed in itertools.product(steps(), ("seed-0", "seed-1")):
        ends = [computed(tmp_path / name / "tiny" / step.name / seed) for name in ("killed", "undisturbed")]
        assert ends[0] == ends[1], f"{step.name} {seed}"

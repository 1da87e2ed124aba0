"""How a run ended, and whether the sweep retries it."""

import io
import os
import signal
import time
from pathlib import Path

import pytest
from helpers.smoke import computed, script, tiny, words, working_on
from rich.console import Console

from roadmap import runs
from roadmap.sweep.exit_status import Exit, ExitStatus, exit_status
from roadmap.sweep.plan import Run
from roadmap.sweep.status import Phase, RunState
from roadmap.sweep.sweeper import record
from roadmap.training.run import execute

RETRY, FAILED = ExitStatus.retry, ExitStatus.failed
USR2, TERM, KILL, SEGV = signal.SIGUSR2, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (Exit(128 + USR2), RETRY, "stopped by SIGUSR2"),
        (Exit(-TERM), RETRY, "stopped by SIGTERM"),
        (Exit(128 + TERM, "FAILED"), RETRY, "stopped by SIGTERM"),  # and its own requeue was killed
        (Exit(None, "NODE_FAIL"), RETRY, "node failed"),
        (Exit(1, "PREEMPTED"), RETRY, "preempted"),
        (Exit(None, "TIMEOUT", progressed=True), RETRY, "time limit reached"),
        (Exit(None, "TIMEOUT"), FAILED, "time limit reached"),
        (Exit(-KILL, progressed=True), RETRY, "killed by SIGKILL (out of memory?)"),
        (Exit(-KILL), FAILED, "killed by SIGKILL (out of memory?)"),
        (Exit(None, None, progressed=True), RETRY, "ended without an exit code"),  # SLURM has forgotten it
        (Exit(None, "FAILED"), FAILED, "ended without an exit code"),
        (Exit(-SEGV, progressed=True), FAILED, "killed by SIGSEGV"),
        (Exit(128 + TERM, "CANCELLED", progressed=True), FAILED, "cancelled"),
        (Exit(None, "OUT_OF_MEMORY", progressed=True), FAILED, "out of memory"),
        (Exit(2, "FAILED", progressed=True), FAILED, "exit code 2: the last line"),
        (Exit(0, "COMPLETED"), FAILED, "exit code 0: the last line"),
    ],
)
def test_only_a_run_that_ended_through_no_fault_of_its_own_is_retried(tmp_path, end: Exit, status, reason: str) -> None:
    (tmp_path / runs.LOG).write_text("much\nthe last line\n")
    assert exit_status(tmp_path, end) == (status, reason)


def test_an_error_of_the_run_is_final_unless_its_node_failed(tmp_path: Path) -> None:
    runs.write_json(tmp_path / runs.FAILURE, {"error": "ValueError: no"})
    for end in (Exit(1), Exit(1, "FAILED", True), Exit(128 + USR2), Exit(None, "TIMEOUT", True)):
        assert exit_status(tmp_path, end) == (FAILED, "ValueError: no")
    assert exit_status(tmp_path, Exit(1, "NODE_FAIL")) == (RETRY, "node failed")


def test_retries_are_limited(tmp_path: Path) -> None:
    console, state = Console(file=(said := io.StringIO()), width=200), RunState(Run("gelu", 0, tmp_path))
    for tries in (1, 2, 2):
        state.phase = Phase.running
        record(state, Exit(128 + USR2), 2, console)
        assert state.tries == tries
    assert state.phase is Phase.failed
    assert "gelu seed 0: stopped by SIGUSR2; retry 2 of at most 2" in said.getvalue()
    assert "gelu seed 0 FAILED: stopped by SIGUSR2 after 2 retries" in said.getvalue()


@pytest.mark.slow
def test_a_stopped_local_run_is_retried_and_ends_with_the_same_bits(tmp_path: Path, data_root: Path) -> None:
    process = script("scripts/sweep.py", *words(tmp_path, data_root, "steps=[gelu]", "budget.epochs=4"))
    directory = tmp_path / "tiny/gelu/seed-0"
    while not (directory / runs.CHECKPOINT).exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    for victim in working_on(directory):
        os.kill(victim, USR2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "stopped by SIGUSR2; retry 1" in output, output
    alone = runs.prepare(tiny(tmp_path / "alone", data_root, "+step=gelu", "budget.epochs=4"))
    execute(alone)
    assert computed(directory) == computed(alone)


def test_a_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gelu" / "seed-0"
    assert exit_status(gone, Exit(1)) == (ExitStatus.failed, f"{gone} was removed while the run was going on")

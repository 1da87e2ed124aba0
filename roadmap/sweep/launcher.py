"""Launchers start the runs of a sweep, as local processes or as SLURM jobs, and report how they end."""

import sys
import time
from pathlib import Path
from typing import Protocol

from roadmap import runs
from roadmap.sweep.exit_status import Exit
from roadmap.sweep.status import Phase, RunState


class Launcher(Protocol):
    def adopt(self, states: list[RunState]) -> None:
        """Take over the jobs of an earlier sweep, or refuse them."""

    def capacity(self) -> int:
        """How many runs can be started now."""

    def start(self, states: list[RunState]) -> list[tuple[RunState, str]]:
        """Start runs; returns those that could not be started, and why."""

    def ended(self) -> list[tuple[RunState, Exit]]:
        """Runs that ended since the last call; updates the state of the others."""

    def close(self) -> str:
        """Let go of all runs; returns a message for the user."""


def train_command(directory: Path) -> list[str]:
    """The command that trains the frozen run in `directory`, from any current directory.

    It waits half a minute for a stopping process of an earlier try to release the directory.
    """
    return [sys.executable, "-m", "roadmap", "train", f"run={directory}", "wait=30"]


def reset(state: RunState, phase: Phase) -> None:
    """Prepare a run for a new try: remove the messages of the last one."""
    state.phase, state.started, state.new = phase, time.monotonic(), True
    for name in (runs.PROGRESS, runs.FAILURE, runs.LOG, runs.EXIT, runs.JOB):
        (state.run.directory / name).unlink(missing_ok=True)

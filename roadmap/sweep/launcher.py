"""What a sweep asks of where its runs are carried out: start them, tell how they end, let go of them."""

import sys
import time
from pathlib import Path
from typing import Protocol

from roadmap import runs
from roadmap.sweep.board import Row, State
from roadmap.sweep.exit_status import Ending

PATIENCE_SECONDS = 30
"""A process of an earlier try, told to stop, holds the run's directory until its step is done."""


class Place(Protocol):
    """A machine or a cluster."""

    def adopt(self, rows: list[Row]) -> None:
        """Find what an earlier sweep has left there."""

    def room(self) -> int:
        """How many runs it takes now."""

    def start(self, rows: list[Row]) -> list[tuple[Row, str]]:
        """Start runs; returns those that could not be started, and why."""

    def ended(self) -> list[tuple[Row, Ending]]:
        """The runs that have ended since the last time, and how; the state of the others is brought up to date."""

    def leave(self) -> str:
        """Let go of all that is still there; returns what there is to say about it."""


def train_command(directory: Path) -> list[str]:
    """The command that carries out the run which is frozen in a directory, wherever that is."""
    return [sys.executable, "-m", "roadmap", "train", f"run={directory}", f"wait={PATIENCE_SECONDS}"]


def afresh(row: Row, state: State) -> None:
    """Take up a run: nothing that an earlier try has said stays in its directory."""
    row.state, row.started, row.new = state, time.monotonic(), True
    for of_an_earlier_try in (runs.PROGRESS, runs.FAILURE, runs.LOG, runs.EXIT, runs.JOB):
        (row.run.directory / of_an_earlier_try).unlink(missing_ok=True)

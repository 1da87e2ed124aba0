"""Runs as processes of this machine, which end with the sweep."""

import subprocess
import time
from dataclasses import dataclass

from roadmap import runs
from roadmap.errors import ConfigError
from roadmap.sweep.board import Row, State
from roadmap.sweep.exit_status import Ending, checkpoint_time
from roadmap.sweep.launcher import afresh, train_command
from roadmap.sweep.resources import environments

GRACE_SECONDS = 30.0
Process = subprocess.Popen[bytes]


@dataclass
class AtWork:
    """A run, its process, what that was started in, and the time of the checkpoint that it found."""

    row: Row
    process: Process
    environment: dict[str, str]
    found: int


class Local:
    """A place to run (`roadmap.sweep.launcher`)."""

    def __init__(self, jobs: int) -> None:
        self._free = environments(jobs)
        self._at_work: list[AtWork] = []

    def adopt(self, rows: list[Row]) -> None:
        """Refuse to work beside a cluster.

        Raises:
            ConfigError: runs of this sweep are with SLURM.
        """
        if with_slurm := [row for row in rows if (row.run.directory / runs.JOB).exists()]:
            text = f"{len(with_slurm)} runs of this sweep are with SLURM: cluster=slurm goes on with them"
            raise ConfigError(f"cluster=local: {text}, `scripts/sweep.py cancel` with the same words ends them")

    def room(self) -> int:
        """How many processes may be added."""
        return len(self._free)

    def start(self, rows: list[Row]) -> list[tuple[Row, str]]:
        """Start a process a run; returns those that could not be started, and why."""
        refused = []
        for row in rows:
            found, environment = checkpoint_time(row.run.directory), self._free.pop(0)
            try:
                self._at_work.append(AtWork(row, start(row, environment), environment, found))
            except OSError as error:  # no memory, no space: this run's trouble, maybe not the next's
                self._free.append(environment)
                refused.append((row, str(error)))
        return refused

    def ended(self) -> list[tuple[Row, Ending]]:
        """The runs whose process has ended since the last time, and how."""
        over = [work for work in self._at_work if work.process.poll() is not None]
        self._at_work = [work for work in self._at_work if work not in over]
        for work in over:
            self._free.append(work.environment)
            with work.process:  # closes its pipe
                pass
        return [(work.row, ending(work)) for work in over]

    def leave(self) -> str:
        """End all processes."""
        end([work.process for work in self._at_work])
        return ""


def ending(work: AtWork) -> Ending:
    """How a process that is over has ended."""
    progressed = work.found != checkpoint_time(work.row.run.directory)
    return Ending(work.process.returncode, progressed=progressed)


def start(row: Row, environment: dict[str, str]) -> Process:
    """Start a run's process, which ends when this one is gone, and keep what it prints in its directory."""
    afresh(row, State.running)
    with (row.run.directory / runs.LOG).open("ab") as log:
        command = [*train_command(row.run.directory), "child=true"]
        # A session of its own: Ctrl-C reaches the sweep alone, which then stops its processes in good order.
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environment
        )


def end(processes: list[Process]) -> None:
    """Ask processes to stop, which lets them write a checkpoint, and kill those that do not."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with process:  # waits for it at last, and closes its pipe
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

"""The state of each run of a sweep, and the table that shows it."""

import time
from dataclasses import dataclass
from enum import Enum

from rich.table import Table

from roadmap import runs
from roadmap.cli import counted, duration
from roadmap.files import in_use
from roadmap.sweep.exit_status import ACTIVE_STATES, WORKING_STATES, job_states
from roadmap.sweep.plan import Plan, Run


class Phase(Enum):
    waiting = "waiting"
    queued = "queued"  # a SLURM job that has not started
    running = "running"
    finished = "finished"
    failed = "failed"


UNDONE = (Phase.waiting, Phase.queued, Phase.running)


@dataclass
class RunState:
    run: Run
    phase: Phase = Phase.waiting
    started: float = 0.0  # by time.monotonic()
    seconds: float = 0.0
    top1: float | None = None
    epoch: str = ""
    share: float = 0.0  # share of its training steps that are done, 0 to 1
    resumed: float | None = None  # share that was done when this sweep started it
    new: bool = False  # whether this sweep started it or adopted its job
    tries: int = 0  # how often it was started again after it ended through no fault of its own

    @property
    def name(self) -> str:
        return f"{self.run.step} seed {self.run.seed}"

    def refresh(self) -> None:
        """Read progress or result from the run's files."""
        if self.phase is Phase.running:
            self.seconds = time.monotonic() - self.started
            if progress := runs.read_json(self.run.directory / runs.PROGRESS):
                self.epoch, self.top1 = f"{progress['epoch']}/{progress['epochs']}", progress["top1"]
                self.share = progress["step"] / progress["steps"]
                self.resumed = self.share if self.resumed is None else self.resumed
        if self.phase is Phase.finished:
            result = runs.read_result(self.run.directory / runs.RESULT)
            self.top1, self.seconds, self.share = result["metrics"]["top1"], result["wall_seconds"], 1.0
            self.epoch = f"{result['epochs']}/{result['epochs']}"


def status(plan: Plan) -> list[RunState]:
    """State of every run of a plan from its files, this machine's processes and SLURM; changes nothing.

    A waiting run may belong to an open sweep that has not come to it yet, or to none.
    """
    states = [RunState(run) for run in plan.runs]
    jobs = [runs.read_json(state.run.directory / runs.JOB) for state in states]
    of_slurm = (job_states() or {}) if any(jobs) else {}
    for state, job in zip(states, jobs, strict=True):
        state.phase = _phase(state.run, of_slurm.get(job["job"]) if job else None)
        state.refresh()
        if state.phase is Phase.running:
            state.seconds = 0.0  # its start time is unknown
    return states


def _phase(run: Run, job_state: str | None) -> Phase:
    if runs.finished(run.directory):
        return Phase.finished
    if job_state in WORKING_STATES or in_use(run.directory):
        return Phase.running
    if job_state in ACTIVE_STATES:
        return Phase.queued
    return Phase.failed if (run.directory / runs.FAILURE).exists() else Phase.waiting


def seconds_left(states: list[RunState], jobs: int) -> float | None:
    """Estimated time for all unfinished runs; None until one has finished or progressed."""
    totals = [state.seconds for state in states if state.phase is Phase.finished]
    for state in states:
        done = state.share - (state.resumed or 0)
        if state.phase is Phase.running and done > 0.05:
            totals.append(state.seconds / done)
    undone = sum(1 - state.share for state in states if state.phase in UNDONE)
    return sum(totals) / len(totals) * undone / jobs if totals else None


def summary(states: list[RunState], jobs: int) -> str:
    """One line: the number of runs in each phase, and the time left."""
    numbers = {phase: sum(state.phase is phase for state in states) for phase in Phase}
    counts = [f"{n} {phase.value}" for phase, n in numbers.items() if n or phase is not Phase.queued]
    left = seconds_left(states, jobs)
    about = f", about {duration(left)} left" if left else ""
    return f"{counted(len(states), 'run')}: {', '.join(counts)}{about}"


def table(states: list[RunState], jobs: int, height: int) -> Table:
    """At most `height` lines: running and failed runs first, then queued, last finished and next ones."""
    order = (Phase.running, Phase.failed, Phase.queued, Phase.finished, Phase.waiting)
    chosen = sorted(states, key=lambda state: (order.index(state.phase), -state.started))[: max(1, height - 6)]
    drawn = Table("step", "seed", "state", "epoch", "top-1", "time")
    drawn.caption, drawn.caption_justify = summary(states, jobs), "left"
    for state in (state for state in states if state in chosen):
        top1 = "" if state.top1 is None else f"{state.top1:.2f}"
        seconds = duration(state.seconds) if state.seconds else ""
        drawn.add_row(state.run.step, str(state.run.seed), state.phase.value, state.epoch, top1, seconds)
    return drawn

"""The state of each run of a sweep, and the table that shows it."""

import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.table import Column, Table

from roadmap import runs
from roadmap.cli import counted, duration
from roadmap.errors import Report, left_out
from roadmap.files import in_use
from roadmap.run_files import JobFile, ProgressFile
from roadmap.sweep.exit_status import ACTIVE_STATES, WORKING_STATES, job_states
from roadmap.sweep.plan import Plan, Run


class Phase(Enum):
    waiting = "waiting"
    queued = "queued"  # a SLURM job that has not started
    running = "running"
    finished = "finished"
    failed = "failed"


NUMBERS = ("top-1", "change", "time")
UNDONE = (Phase.waiting, Phase.queued, Phase.running)


@dataclass
class RunState:
    run: Run
    phase: Phase = Phase.waiting
    started: float = 0.0  # by time.monotonic()
    seconds: float = 0.0  # wall time of its training so far, over all tries and sweeps: the result's wall_seconds
    startup: float = 0.0  # seconds from its start until this sweep first saw it train
    top1: float | None = None
    parent: str | None = None  # known of a finished run
    epoch: str = ""
    share: float = 0.0  # share of its training steps that are done, 0 to 1
    seen: tuple[float, float] = (0.0, 0.0)  # seconds and share when this sweep first saw it train
    new: bool = False  # whether this sweep started it or adopted its job
    reason: str = ""  # why it failed in this sweep
    tries: int = 0  # how often it was started again after it ended through no fault of its own

    @property
    def name(self) -> str:
        return f"{self.run.step} seed {self.run.seed}"

    def refresh(self, bad: Report = lambda _line: None) -> None:
        """Read progress or result from the run's files; `left_out` if they are wrong."""
        with left_out(bad):
            self._refresh()

    def _refresh(self) -> None:
        path = self.run.directory / runs.PROGRESS
        if self.phase is Phase.running and (progress := runs.read_json(path, ProgressFile)):
            self.epoch, self.top1 = f"{progress['epoch']}/{progress['epochs']}", progress["top1"]
            self.share, self.seconds = progress["step"] / progress["steps"], progress.get("seconds", 0.0)
            if self.seen == (0.0, 0.0):
                self.seen = self.seconds, self.share
                self.startup = time.monotonic() - self.started if self.started else 0.0
        if self.phase is Phase.finished:
            result = runs.read_result(self.run.directory / runs.RESULT)
            self.top1, self.seconds, self.share = result["metrics"]["top1"], result["wall_seconds"], 1.0
            self.epoch, self.parent = f"{result['epochs']}/{result['epochs']}", result["parent"]


def status(plan: Plan, bad: Report = lambda _line: None) -> list[RunState]:
    """State of every run of a plan from its files, this machine's processes and SLURM; changes nothing.

    A waiting run may belong to an open sweep that has not come to it yet, or to none. Wrong files are `left_out`.
    """
    states, jobs = [RunState(run) for run in plan.runs], dict[Run, str]()
    for run in plan.runs:
        with left_out(bad):
            if job := runs.read_json(run.directory / runs.JOB, JobFile):
                jobs[run] = job["job"]
    of_slurm = (job_states() or {}) if jobs else {}
    for state in states:
        state.phase = _phase(state.run, of_slurm.get(jobs.get(state.run, "")))
        state.refresh(bad)
        result = state.run.directory / runs.RESULT
        if state.phase is not Phase.finished and result.exists():
            with left_out(bad):
                runs.counted_result(state.run.directory)
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
    """Estimated time for all unfinished runs; None until a run has finished, or trained a twentieth of its steps.

    A run takes the training time of the known ones by the share of their steps, and their mean startup, to which the
    slow first steps belong.
    """
    whole = [(state.seconds, 1.0) for state in states if state.phase is Phase.finished]
    part = [(each.seconds - each.seen[0], each.share - each.seen[1]) for each in states if each.phase is Phase.running]
    known = whole + [(seconds, share) for seconds, share in part if share > 0.05]
    undone = [state for state in states if state.phase in UNDONE]
    if not known or not undone:
        return None
    total = sum(seconds for seconds, _ in known) / sum(share for _, share in known)
    startups = [state.startup for state in states if state.startup] or [0.0]
    startup = sum(startups) / len(startups)
    left = [total * (1 - each.share) + (0.0 if each.phase is Phase.running else startup) for each in undone]
    return max(*left, sum(left) / jobs)


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
    drawn = Table("step", "seed", "state", "epoch", *(Column(name, justify="right") for name in NUMBERS))
    hidden = f"; {counted(len(states) - len(chosen), 'run')} not shown" if len(chosen) < len(states) else ""
    drawn.caption, drawn.caption_justify = summary(states, jobs) + hidden, "left"
    for state in (state for state in states if state in chosen):
        run, top1 = state.run, "" if state.top1 is None else f"{state.top1:.2f}"
        seconds = duration(state.seconds) if state.seconds else ""
        drawn.add_row(run.step, str(run.seed), state.phase.value, state.epoch, top1, change(state, states), seconds)
    return drawn


def change(state: RunState, states: list[RunState]) -> str:
    """The difference of a finished run's top-1 to that of its parent with the same seed, in points; empty without."""
    parents = [other for other in states if (other.run.step, other.run.seed) == (state.parent, state.run.seed)]
    known = [each.top1 for each in (state, *parents) if each.phase is Phase.finished and each.top1 is not None]
    return f"{known[0] - known[1]:+.2f}" if len(known) == 2 else ""


def reasons(states: list[RunState]) -> list[str]:
    """Why runs failed, one line per reason: the runs, the reason, and the file that says most about the first."""
    found: dict[str, list[RunState]] = {}
    for state in states:
        if state.phase is Phase.failed:
            reason = state.reason or runs.failure_reason(state.run.directory) or "no reason known"
            found.setdefault(" ".join(reason.split()), []).append(state)
    return [
        f"failed: {', '.join(state.name for state in failed)}: {reason} (see {error_file(failed[0].run)})"
        for reason, failed in found.items()
    ]


def error_file(run: Run) -> Path:
    """The file that says most about a failed run, or its directory if there is none."""
    files = [run.directory / name for name in (runs.FAILURE, runs.LOG)]
    return next((path for path in files if path.exists()), run.directory)

"""The state of a sweep, as rows to look at."""

import time
from dataclasses import dataclass
from enum import Enum

from rich.table import Table

from roadmap import runs
from roadmap.sweep.plan import Run


class State(Enum):
    """Where a run stands."""

    waiting = "waiting"
    queued = "queued"  # with a cluster, and not begun
    running = "running"
    finished = "finished"
    failed = "failed"


UNDONE = (State.waiting, State.queued, State.running)


@dataclass
class Row:
    """A run and what is known of it."""

    run: Run
    state: State = State.waiting
    started: float = 0.0
    seconds: float = 0.0
    top1: float | None = None
    epoch: str = ""
    share: float = 0.0
    """Of the run's steps that are done, 0 to 1."""
    began: float | None = None
    """Share that was done when this sweep took it up."""
    new: bool = False
    """Whether this sweep worked on it."""
    tries: int = 0
    """How often it was started again for no fault of its own."""

    def look(self) -> None:
        """Read from the run's files how far it is."""
        if self.state is State.running:
            self.seconds = time.monotonic() - self.started
            progress = runs.read_json(self.run.directory / runs.PROGRESS)
            if progress:
                self.epoch, self.top1 = f"{progress['epoch']}/{progress['epochs']}", progress["top1"]
                self.share = progress["step"] / progress["steps"]
                self.began = self.share if self.began is None else self.began
        if self.state is State.finished:
            result = runs.read_result(self.run.directory / runs.RESULT)
            self.top1, self.seconds, self.share = result["metrics"]["top1"], result["wall_seconds"], 1.0
            self.epoch = f"{result['epochs']}/{result['epochs']}"


def seconds_left(rows: list[Row], jobs: int) -> float | None:
    """An estimate for all that is not done; None while nothing can be said."""
    whole = [row.seconds for row in rows if row.state is State.finished]
    for row in rows:
        if row.state is State.running and row.share - (row.began or 0) > 0.05:
            whole.append(row.seconds / (row.share - (row.began or 0)))
    if not whole:
        return None
    each = sum(whole) / len(whole)
    return each * sum(1 - r.share for r in rows if r.state in UNDONE) / jobs


def summary(rows: list[Row], jobs: int) -> str:
    """One line: how many runs stand where, and the time left."""
    numbers = {state: sum(r.state is state for r in rows) for state in State}
    counts = [f"{n} {state.value}" for state, n in numbers.items() if n or state is not State.queued]
    left = seconds_left(rows, jobs)
    about = f", about {duration(left)} left" if left else ""
    return f"{counted(len(rows), 'run')}: {', '.join(counts)}{about}"


def table(rows: list[Row], jobs: int, height: int) -> Table:
    """What fits into `height` lines: what runs and what failed first of all, then what finished last and comes next."""
    order = (State.running, State.failed, State.queued, State.finished, State.waiting)
    chosen = sorted(rows, key=lambda r: (order.index(r.state), -r.started))[: max(1, height - 6)]
    drawn = Table(
        "rung", "seed", "state", "epoch", "top-1", "time", caption=summary(rows, jobs), caption_justify="left"
    )
    for row in (row for row in rows if row in chosen):
        top1 = "" if row.top1 is None else f"{row.top1:.2f}"
        time_ = duration(row.seconds) if row.seconds else ""
        drawn.add_row(row.run.step, str(row.run.seed), row.state.value, row.epoch, top1, time_)
    return drawn


def counted(number: float, thing: str) -> str:
    """A number of things, in the singular where it is one."""
    return f"{number:,g} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min 20 s, 5 h 12 min."""
    whole, minutes = round(seconds), round(seconds / 60)
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"

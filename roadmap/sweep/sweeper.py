"""The sweep as a build system: do what is missing, resume what is broken, leave alone what is done."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from roadmap import runs
from roadmap.files import lock
from roadmap.signals import Interrupted, caught
from roadmap.sweep.board import UNDONE, Row, State, duration, summary, table
from roadmap.sweep.cluster import Scheduler
from roadmap.sweep.exit_status import Ending, Verdict, judge
from roadmap.sweep.launcher import Place
from roadmap.sweep.local import Local
from roadmap.sweep.plan import Plan, Run
from roadmap.sweep.slurm import Slurm

HEARTBEAT_SECONDS = 60.0


def sweep(plan: Plan, console: Console, *, data: dict[str, Any] | None = None) -> list[Row]:
    """Bring every run of the plan to its result, `plan.jobs` at a time; returns how each stands.

    `data` is the fingerprint of the images, where the name of their data set does not tell them.

    A run that fails is reported at once and the others go on.

    Raises:
        Locked: another sweep works on this study.
        ConfigError: a directory holds another run, or the cluster refuses the jobs.
        Interrupted: by a signal; local processes are gone, jobs of a cluster go on.
    """
    with lock(plan.study), caught() as stop:
        plan.freeze(data)
        rows = [Row(run, State.finished if runs.finished(run.directory) else State.waiting) for run in plan.runs]
        for row in rows:
            row.look()
        place: Place = Slurm(plan) if plan.cluster.scheduler is Scheduler.slurm else Local(plan.jobs)
        place.adopt(rows)
        live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        try:
            if live:
                live.start()
            _work(plan, rows, place, console, live, stop)
        finally:
            left = place.leave()
            if live:
                live.stop()
            if left:
                console.print(left)
        return rows


def _work(plan: Plan, rows: list[Row], place: Place, console: Console, live: Live | None, stop: list[int]) -> None:
    said = time.monotonic()
    while not stop:
        ended = place.ended()
        for row, ending in ended:
            close(row, ending, plan.cluster.retries, console)
        waiting = [row for row in rows if row.state is State.waiting][: place.room()]
        for row, why in place.start(waiting) if waiting else []:
            row.state = State.failed
            console.print(f"{_name(row)} FAILED: could not be started: {why}", markup=False, highlight=False)
        for row in rows:
            if row.state is State.running:
                row.look()
        if live:
            live.update(table(rows, plan.jobs, console.height))
        elif ended or time.monotonic() - said > HEARTBEAT_SECONDS:
            said = time.monotonic()
            console.print(summary(rows, plan.jobs))
        if not any(row.state in UNDONE for row in rows):
            return
        _wait(plan.cluster.poll_seconds, stop)
    raise Interrupted(stop[0])


def _wait(seconds: float, stop: list[int]) -> None:
    """Sleep, but for no longer than until something appears in `stop`."""
    deadline = time.monotonic() + seconds
    while not stop and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))


def close(row: Row, ending: Ending, retries: int, console: Console) -> None:
    """Record how a run ended, and say so; what ended for no fault of its own waits again, up to `retries` times."""
    row.look()
    verdict, why = judge(row.run.directory, ending)
    if verdict is Verdict.finished:
        row.state = State.finished
        row.look()
        console.print(f"{_name(row)}: top-1 {row.top1:.2f} % in {duration(row.seconds)}", highlight=False)
    elif verdict is Verdict.again and row.tries < retries:
        row.tries += 1
        row.state = State.waiting
        text = f"{_name(row)}: {why}; it goes on ({row.tries} of at most {retries} times)"
        console.print(text, markup=False, highlight=False)
    else:
        row.state = State.failed
        again = f", after it was started again {row.tries} times" if row.tries else ""
        text = f"{_name(row)} FAILED: {why}{again} (see {report(row.run)})"
        console.print(text, markup=False, highlight=False)


def report(run: Run) -> Path:
    """The file that tells most about how a run failed."""
    failure = run.directory / runs.FAILURE
    return failure if failure.exists() else run.directory / runs.LOG


def _name(row: Row) -> str:
    return f"{row.run.step} seed {row.run.seed}"

"""The sweep as a build system: do what is missing, resume what is broken, leave alone what is done."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from roadmap import runs
from roadmap.files import lock
from roadmap.ladder.board import Row, State, duration, summary, table
from roadmap.ladder.plan import Plan, Run
from roadmap.signals import Interrupted, caught

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
POLL_SECONDS, GRACE_SECONDS, HEARTBEAT_SECONDS = 0.2, 30.0, 60.0


def sweep(plan: Plan, console: Console) -> list[Row]:
    """Bring every run of the plan to its result, `plan.jobs` processes at a time; returns how each stands.

    A run that fails is reported at once and the others go on.

    Raises:
        Locked: another sweep works on this study.
        ConfigError: a directory holds another run.
        Interrupted: by SIGINT or SIGTERM; all processes are gone.
    """
    with lock(plan.study), caught() as stop:
        plan.freeze()
        rows = [Row(run, State.finished if runs.finished(run.directory) else State.waiting) for run in plan.runs]
        for row in rows:
            row.look()
        processes: dict[int, subprocess.Popen[bytes]] = {}
        live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        try:
            if live:
                live.start()
            _work(plan, rows, processes, console, live, stop)
        finally:
            end(list(processes.values()))
            if live:
                live.stop()
        return rows


def _work(
    plan: Plan,
    rows: list[Row],
    processes: dict[int, subprocess.Popen[bytes]],
    console: Console,
    live: Live | None,
    stop: list[int],
) -> None:
    said = time.monotonic()
    while not stop:
        ended = [index for index, process in processes.items() if process.poll() is not None]
        for index in ended:
            with processes.pop(index) as process:  # which also closes its pipe
                close(rows[index], process.returncode, console)
        waiting = [index for index, row in enumerate(rows) if row.state is State.waiting]
        for index in waiting[: plan.jobs - len(processes)]:
            try:
                processes[index] = start(rows[index])
            except OSError as error:  # no memory, no space: this run's trouble, maybe not the next's
                rows[index].state = State.failed
                name = f"{rows[index].run.step} seed {rows[index].run.seed}"
                console.print(f"{name} FAILED: could not be started: {error}", markup=False, highlight=False)
        for index in processes:
            rows[index].look()
        if live:
            live.update(table(rows, plan.jobs, console.height))
        elif ended or time.monotonic() - said > HEARTBEAT_SECONDS:
            said = time.monotonic()
            console.print(summary(rows, plan.jobs))
        if not processes and not any(row.state is State.waiting for row in rows):
            return
        time.sleep(POLL_SECONDS)
    raise Interrupted(stop[0])


def start(row: Row) -> subprocess.Popen[bytes]:
    """Start a run's process, which ends when this one is gone, and keep what it prints in its directory."""
    run, row.state, row.started, row.new = row.run, State.running, time.monotonic(), True
    for of_an_earlier_try in (runs.PROGRESS, runs.FAILURE, runs.LOG):
        (run.directory / of_an_earlier_try).unlink(missing_ok=True)
    command = [sys.executable, str(TRAIN), "--run", str(run.directory), "--child"]
    with (run.directory / runs.LOG).open("ab") as log:
        # A session of its own: Ctrl-C reaches the sweep alone, which then stops its processes in good order.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)


def close(row: Row, code: int, console: Console) -> None:
    """Record how a run's process ended, and say so."""
    row.look()
    name = f"{row.run.step} seed {row.run.seed}"
    if code == 0 and runs.finished(row.run.directory):
        row.state = State.finished
        row.look()
        console.print(f"{name}: top-1 {row.top1:.2f} % in {duration(row.seconds)}", highlight=False)
    else:
        row.state = State.failed
        text = f"{name} FAILED: {why(row.run, code)} (see {report(row.run)})"
        console.print(text, markup=False, highlight=False)


def report(run: Run) -> Path:
    """The file that tells most about how a run failed."""
    failure = run.directory / runs.FAILURE
    return failure if failure.exists() else run.directory / runs.LOG


def why(run: Run, code: int) -> str:
    """The reason of a failure in one line."""
    failure = runs.read_json(run.directory / runs.FAILURE)
    if failure:
        return str(failure.get("error"))
    if code < 0:
        return f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    log = run.directory / runs.LOG
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"exit code {code}: {lines[-1] if lines else 'no output'}"


def end(processes: list[subprocess.Popen[bytes]]) -> None:
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

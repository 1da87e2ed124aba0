"""How the runs of a sweep stand, seen from outside it."""

from roadmap import runs
from roadmap.files import in_use
from roadmap.sweep.board import Row, State
from roadmap.sweep.exit_status import ALIVE
from roadmap.sweep.plan import Plan
from roadmap.sweep.slurm import AT_WORK, job_states


def status(plan: Plan) -> list[Row]:
    """Every run of a plan as its files, this machine and SLURM know it; nothing is changed.

    A run that waits may be one that an open sweep has not come to, or one that nobody works on.
    """
    rows = [Row(run) for run in plan.runs]
    jobs = [runs.read_json(row.run.directory / runs.JOB) for row in rows]
    states = (job_states() or {}) if any(jobs) else {}
    for row, job in zip(rows, jobs, strict=True):
        row.state = _state(row, states.get(job["job"]) if job else None)
        row.look()
        if row.state is State.running:
            row.seconds = 0.0  # nobody has looked at the clock when it began
    return rows


def _state(row: Row, state: str | None) -> State:
    directory = row.run.directory
    if runs.finished(directory):
        return State.finished
    if state in AT_WORK or in_use(directory):
        return State.running
    if state in ALIVE:
        return State.queued
    return State.failed if (directory / runs.FAILURE).exists() else State.waiting

"""Train every rung of a study: what is missing or broken, nothing twice.

    python scripts/sweep.py                              the default study, every rung
    python scripts/sweep.py study=smoke seeds=3 jobs=2   another study, three seeds, two processes at a time
    python scripts/sweep.py steps=[gelu,layer_norm]      some rungs
    python scripts/sweep.py only=main_sequence           without the side rungs
    python scripts/sweep.py design=leave_one_out         the end of the path without each change (docs/designs.md)
    python scripts/sweep.py design=add_one               its start with each change alone
    python scripts/sweep.py recipe.epochs=4              a study of its own, named after the option
    python scripts/sweep.py cluster=slurm cluster.partition=gpu cluster.gpus_per_node=8   jobs of SLURM
    python scripts/sweep.py status study=smoke           how the runs stand
    python scripts/sweep.py cancel study=smoke           end their jobs, which keep a checkpoint

Any option of conf/ can be set as key=value. Stopped and started again, it goes on where it was; jobs of SLURM go on
meanwhile. docs/scaling.md has more about them.
Exit code: 0 all finished, 1 some failed, 2 refused, 128 + signal stopped.
"""

import argparse
import sys

from rich.console import Console

from roadmap import runs
from roadmap.cli import command
from roadmap.data.prepare import listed, prepare
from roadmap.signals import Interrupted
from roadmap.sweep.board import State, counted, table
from roadmap.sweep.plan import Plan, make_plan
from roadmap.sweep.slurm import cancel
from roadmap.sweep.status import status
from roadmap.sweep.sweeper import report, sweep

VERBS = (["status"], ["cancel"])


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="seeds, jobs, steps, only, design, cluster, and options"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and stop")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    verb, words = (
        ("", arguments.words) if arguments.words[:1] not in VERBS else (arguments.words[0], arguments.words[1:])
    )
    plan = make_plan(words)
    for name, why in plan.skipped.items():
        console.print(f"{name} cannot be: {why}", markup=False)
    if arguments.dry_run:
        return show(plan, console)
    if verb == "status":
        rows = status(plan)
        console.print(table(rows, plan.jobs, height=len(rows) + 6))
        return 0
    if verb == "cancel":
        console.print(f"{counted(cancel(plan.runs), 'job')} cancelled: {plan.study}")
        return 0
    data = plan.configs[0].data
    prepare(data)
    images = listed(data) if any(runs.begun(run.directory) for run in plan.runs) else None
    try:
        rows = sweep(plan, console, data=images)
    except Interrupted as interruption:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return 128 + int(interruption.args[0])
    failed = [row for row in rows if row.state is State.failed]
    new = sum(row.new and row.state is State.finished for row in rows)
    console.print(f"{len(rows) - len(failed)} of {counted(len(rows), 'run')} finished, {new} of them now: {plan.study}")
    for row in failed:
        console.print(f"failed: {row.run.step} seed {row.run.seed}: {report(row.run)}")
    return 1 if failed else 0


def show(plan: Plan, console: Console) -> int:
    """Print what a sweep would do, or refuse what it would."""
    console.print(f"{counted(len(plan.runs), 'run')}, {plan.jobs} at a time")
    plan.configs  # noqa: B018  composes every rung, which takes seconds
    for run in plan.runs:
        console.print(f"{'finished' if runs.finished(run.directory) else 'to do':9} {run.directory}")
    return 0


if __name__ == "__main__":
    command(main)

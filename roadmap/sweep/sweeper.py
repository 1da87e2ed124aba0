"""The sweep as a build system: start what is missing, resume what was interrupted, skip what is finished."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from roadmap import runs
from roadmap.cli import counted, duration, warned
from roadmap.config.schema import DataConfig
from roadmap.data.datasets import dataset
from roadmap.files import lock
from roadmap.signals import Interrupted, caught
from roadmap.sweep.cluster import Scheduler
from roadmap.sweep.exit_status import Exit, ExitStatus, exit_status
from roadmap.sweep.launcher import Launcher
from roadmap.sweep.local import Local
from roadmap.sweep.plan import Plan, make_plan
from roadmap.sweep.slurm import Slurm, cancel, missing_gpus, request
from roadmap.sweep.status import UNDONE, Phase, RunState, error_file, reasons, status, summary, table
from roadmap.sweep.tuning_stages import Stages, choose, make_stages
from roadmap.terminal import Terminal


def main(words: list[str]) -> int:
    """Train every step of a study; finished runs are skipped, interrupted ones resumed.

        python scripts/sweep.py                              the default study, all steps
        python scripts/sweep.py study=smoke seeds=3 jobs=2   another study, three seeds, two runs at a time
        python scripts/sweep.py steps=[gelu,layer_norm]      some steps
        python scripts/sweep.py only=main_sequence           without the side steps
        python scripts/sweep.py design=leave_one_out         the last network without each change (docs/designs.md)
        python scripts/sweep.py design=add_one               the first network with each change alone
        python scripts/sweep.py tune=recipe.lr:[0.5,1,2]     every step at its best of three rates (docs/statistics.md)
        python scripts/sweep.py recipe.epochs=4              a study of its own, named after the option
        python scripts/sweep.py cluster=slurm cluster.partition=gpu cluster.gpus_per_node=8   SLURM jobs
        python scripts/sweep.py status study=smoke           the state of each run
        python scripts/sweep.py cancel study=smoke           cancel SLURM jobs; they write a checkpoint
        python scripts/sweep.py --dry-run study=smoke        print the plan

    Any option of conf/ can be set as key=value. A stopped sweep continues with the same command; SLURM jobs continue
    without it (docs/scaling.md).
    Exit code: 0 all runs finished, 1 some failed, 2 refused, 128 + signal stopped.
    """
    console = Terminal()
    dry_run, words = "--dry-run" in words, [word for word in words if word != "--dry-run"]
    command = words.pop(0) if words[:1] in (["status"], ["cancel"]) else ""
    stages = make_stages(words) if any(word.startswith("tune=") for word in words) else None
    plans = [stages.untuned, stages.held_out, stages.tuned] if stages else [make_plan(words)]
    for name, why in plans[0].skipped.items():
        console.print(f"{name} does not apply: {why}")
    if not (dry_run or command):
        return _tune(stages, console) if stages else _sweep(plans[0], console)
    bad = list[str]()
    for plan in plans:
        if dry_run:
            _show(plan, console, chosen=not stages or plan is not stages.tuned)
        elif command == "status":
            states = status(plan, bad.append)
            console.print(table(states, plan.jobs, height=len(states) + 6))
            for line in reasons(states):
                console.print(line)
        else:
            console.print(f"{counted(cancel(plan.runs), 'job')} cancelled: {plan.study}")
    return warned(bad)


def absent(data: DataConfig) -> list[str]:
    """That the folder of the data is not there, in one line; of data that a sweep downloads too."""
    root, entry = Path(data.root).expanduser(), dataset(data.name)
    if root.is_dir() or data.train:  # shards may be anywhere
        return []
    return [f"data not found: {root}{' (the sweep downloads them)' if entry.in_memory else ': data.root=FOLDER'}"]


def _show(plan: Plan, console: Console, *, chosen: bool) -> None:
    """Print the runs of a plan, and refuse what its sweep would refuse; tuned ones are not known before the choice."""
    console.print(f"{counted(len(plan.runs), 'run')}, {plan.jobs} at a time")
    configs = plan.configs if chosen else []
    if chosen:
        plan.refuse_impossible()
        for line in [*absent(configs[0].data), *(request(plan) if plan.cluster.scheduler is Scheduler.slurm else [])]:
            console.print(line)
    published = {
        config.step.name + f"/{config.seed}"
        for config in configs
        if config.study.reuse_published and runs.published(config)
    }
    for run in plan.runs:
        reused = f"{run.step}/{run.seed}" in published
        phase = "finished" if runs.finished(run.directory) else "published" if reused else "to do"
        console.print(f"{phase:9} {run.directory}")


def _tune(stages: Stages, console: Console) -> int:
    """The sweeps of a tuned study, one after another; the second may have runs whose loss diverged."""
    codes = list[int]()
    stages.held_out.refuse_impossible()  # not only once the untuned steps are trained
    for plan in (stages.untuned, stages.held_out):
        codes.append(_sweep(plan, console))
        if codes[-1] > 1:
            return codes[-1]
    lines, whole = choose(stages)
    for line in lines:
        console.print(line)
    if not whole:
        console.print("a step has no choice: once its runs can finish, the same command continues")
        return 1
    return max(codes[0], _sweep(stages.tuned, console))


def _sweep(plan: Plan, console: Console) -> int:
    from roadmap.data.fetch import prepare
    from roadmap.data.records import listed

    plan.refuse_impossible()
    for config in plan.configs[: len(plan.steps)]:
        if config.recipe.init_weights:  # refused before anything is made; imports torch
            from roadmap.networks.weight_files import initial_weights

            initial_weights(config)
    data = plan.configs[0].data
    for line in missing_gpus(plan):
        console.print(line)
    prepare(data)
    known = plan.configs[0].study.reuse_published or any(runs.begun(run.directory) for run in plan.runs)
    images = listed(data) if known else None
    try:
        states = sweep(plan, console, data=images)
    except Interrupted as interruption:
        print("stopped: the same command continues from here", file=sys.stderr)
        return 128 + int(interruption.args[0])
    failed = [state for state in states if state.phase is Phase.failed]
    new = sum(state.new and state.phase is Phase.finished for state in states)
    total = counted(len(states), "run")
    console.print(f"{len(states) - len(failed)} of {total} finished, {new} of them now: {plan.study}")
    for line in reasons(states):
        console.print(line)
    return 1 if failed else 0


def sweep(plan: Plan, console: Console, *, data: dict[str, Any] | None = None) -> list[RunState]:
    """Bring every run of the plan to its result, `plan.jobs` at a time; returns the state of each.

    A failed run is reported at once and does not stop the others. `data` is the fingerprint of the images if the
    name of the data set does not identify them.

    Raises:
        Locked: another sweep holds this study.
        ConfigError: a directory holds another run, or the cluster refuses the jobs.
        Interrupted: by a signal, after local processes have stopped; SLURM jobs continue.
    """
    with lock(plan.study), caught() as signals:
        plan.freeze(data)
        if plan.configs[0].study.reuse_published and (reused := plan.reuse(data)):
            console.print(
                f"{counted(reused, 'run')} taken from results/published; study.reuse_published=false trains anew"
            )
        states = [RunState(run, Phase.finished if runs.finished(run.directory) else Phase.waiting) for run in plan.runs]
        for state in states:
            state.refresh()
        launcher: Launcher = Slurm(plan) if plan.cluster.scheduler is Scheduler.slurm else Local(plan.jobs)
        launcher.adopt(states)
        live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        printed = time.monotonic()
        with live or nullcontext():
            try:
                while not signals:
                    changed = _advance(states, launcher, console, retries=plan.cluster.retries)
                    if live:
                        live.update(table(states, plan.jobs, console.height))
                    elif changed or time.monotonic() - printed > 60:
                        printed = time.monotonic()
                        console.print(summary(states, plan.jobs))
                    if not any(state.phase in UNDONE for state in states):
                        return states
                    _sleep(plan.cluster.poll_seconds, signals)
                raise Interrupted(signals[0])
            finally:
                if message := launcher.close():
                    console.print(message)


def _advance(states: list[RunState], launcher: Launcher, console: Console, *, retries: int) -> bool:
    """Record the runs that ended and start waiting ones; returns whether any ended."""
    ended = launcher.ended()
    for state, end in ended:
        record(state, end, retries, console)
    waiting = [state for state in states if state.phase is Phase.waiting][: launcher.capacity()]
    for state, why in launcher.start(waiting) if waiting else []:
        state.phase, state.reason = Phase.failed, f"could not be started: {why}"
        console.print(f"{state.name} FAILED: {state.reason}")
    for state in states:
        if state.phase is Phase.running:
            state.refresh()
    return bool(ended)


def _sleep(seconds: float, signals: list[int]) -> None:
    """Sleep, but only until a signal appears in `signals`."""
    deadline = time.monotonic() + seconds
    while not signals and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))


def record(state: RunState, end: Exit, retries: int, console: Console) -> None:
    """Update and print the state of a run that ended; one to retry waits again, up to `retries` times."""
    state.refresh()
    result, why = exit_status(state.run.directory, end)
    if result is ExitStatus.finished:
        state.phase = Phase.finished
        state.refresh()
        text = f"{state.name}: top-1 {state.top1:.2f} % in {duration(state.seconds)}"
    elif result is ExitStatus.retry and state.tries < retries:
        state.tries += 1
        state.phase = Phase.waiting
        text = f"{state.name}: {why}; retry {state.tries} of at most {retries}"
    else:
        state.phase, state.reason = Phase.failed, why
        again = f" after {state.tries} retries" if state.tries else ""
        text = f"{state.name} FAILED: {why}{again} (see {error_file(state.run)})"
    console.print(text)

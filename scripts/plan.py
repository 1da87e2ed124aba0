"""Say what a sweep will take before it is begun: hours, disk, energy, money, and what fits into a budget.

    python scripts/plan.py                                        the default study on this machine
    python scripts/plan.py study=imagenet devices=8 budget=14d    on eight like it, and what fits into two weeks
    python scripts/plan.py study=imagenet images_per_second=2000  from a speed that you know, the same for every rung

A few steps of each rung are measured, by as many processes at a time as the sweep will have, or by one if that will be
on a cluster; and where the data are held in memory, a run of one step: what starting one takes. That is for a GPU or a
small study; of a large one on a CPU it takes minutes a rung, and images_per_second says more. Steps, seeds, design and
all other words of a sweep can be given; a budget is a time: 48h, 90min, 2d. Not in the estimate: decoding image files.
Rates are stated.
"""

import argparse
import multiprocessing
import os
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from statistics import fmean
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from roadmap.cli import command, counted, duration, options, split
from roadmap.config.schema import Config, Tracking
from roadmap.data.datasets import dataset
from roadmap.data.folders import count_images
from roadmap.errors import require
from roadmap.networks.anatomy import parts
from roadmap.runs import freeze
from roadmap.sweep.cluster import Scheduler
from roadmap.sweep.estimate import (
    Expense,
    Rates,
    Speed,
    ends,
    expense,
    images_of,
    seconds_of,
    seeds_within,
    share_within,
    total,
    within,
)
from roadmap.sweep.launcher import train_command
from roadmap.sweep.plan import Plan, make_plan
from roadmap.sweep.resources import environments

OWN = {"devices": "", "watts": "500", "co2": "400", "price": "2", "budget": "", "images_per_second": "", "images": ""}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stated = " ".join(f"{key}={value}" for key, value in OWN.items())
    parser.add_argument("words", nargs="*", metavar="key=value", help=f"{stated}, and all that a sweep takes")
    words = parser.parse_args().words
    its_own, of_sweep = split(words, OWN)
    own, plan = options(its_own, OWN), make_plan(of_sweep)
    devices = whole(own["devices"] or str(plan.jobs))
    here = plan.jobs if plan.cluster.scheduler is Scheduler.local else 0
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{counted(len(plan.runs), 'run')}: {plan.study}")
    rates = Rates(devices, *(number(own, key) for key in ("watts", "co2", "price")))
    files = stated_images(own["images"]) if own["images"] else count_images(plan.configs[0].data)
    images = images_of(plan.configs[0], files)
    given = number(own, "images_per_second", default=0)
    speeds = measured(plan, console, given, jobs=here or 1)
    startup = 0.0 if given else started(plan, jobs=here or 1)
    expenses = [expense(config, speeds[config.step.name], images, startup) for config in plan.configs]
    console.print(table(plan, speeds, expenses))
    if startup:
        console.print(f"in each run: {startup:.1f} s before and after its steps")
    show(expenses, rates, console, here=0 if given else here)
    if own["budget"]:
        console.print(fitting(plan, expenses, devices, own["budget"]))
    return 0


def number(own: dict[str, str], key: str, *, default: float | None = None) -> float:
    """A word as a number more than 0.

    Raises:
        ConfigError: it is none.
    """
    if own[key] == "" and default is not None:
        return default
    try:
        value = float(own[key])
    except ValueError:
        value = 0.0
    require(0 < value < float("inf"), key, own[key], "a number more than 0")
    return value


def whole(devices: str) -> int:
    """A number of devices.

    Raises:
        ConfigError: it is none.
    """
    require(devices.isdecimal() and int(devices) > 0, "devices", devices, "a whole number more than 0")
    return int(devices)


def stated_images(text: str) -> tuple[int, int]:
    """How many images there are for training and for the test.

    Raises:
        ConfigError: the text does not say.
    """
    train, _, test = text.partition(",")
    require(train.isdecimal() and test.isdecimal(), "images", text, "TRAIN,TEST")
    return int(train), int(test)


def measured(plan: Plan, console: Console, given: float, *, jobs: int) -> dict[str, Speed]:
    """The speed of every rung, by so many processes at a time; evaluation three times as given."""
    rungs, data = {config.step.name: config for config in plan.configs}, plan.configs[0].data
    if given:
        shape = {"num_classes": data.num_classes, "in_chans": data.in_chans}
        sizes = {name: sum(part.params for part in parts(c.model, **shape)) for name, c in rungs.items()}
        return {name: Speed(given, 3 * given, size) for name, size in sizes.items()}
    from roadmap.training.throughput import measure

    found, spawn = {}, multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        workers = [ProcessPoolExecutor(1, spawn, enter, (own,)) for own in environments(jobs)]
        for worker in workers:
            stack.enter_context(worker)
        status = stack.enter_context(console.status("measuring"))
        for number, (name, config) in enumerate(rungs.items(), 1):
            now = f"measuring {name} ({number} of {len(rungs)}), {jobs} at a time"
            status.update(now) if console.is_terminal else console.print(now)
            each = [one.result() for one in [worker.submit(measure, config) for worker in workers]]
            found[name] = Speed(fmean(s[0] for s in each), fmean(s[1] for s in each), each[0][2])
    return found


def enter(environment: dict[str, str]) -> None:
    """Make an environment that of this process."""
    os.environ.update(environment)


def started(plan: Plan, *, jobs: int) -> float:
    """Seconds that a run takes besides its steps: those of runs of one step, so many at a time.

    0 where nothing says so: of files, whose reading is not in the estimate, and of data that are not there.
    """
    if not dataset(plan.configs[0].data.name).in_memory:
        return 0.0
    with TemporaryDirectory() as there:
        directories = [freeze(shortest(plan.configs[0], seed, there)) for seed in range(jobs)]
        begun, quiet = time.monotonic(), subprocess.DEVNULL
        processes = [
            subprocess.Popen(train_command(each), stdout=quiet, stderr=quiet, env=own)
            for each, own in zip(directories, environments(jobs), strict=True)
        ]
        taken = [(process.wait(), time.monotonic() - begun) for process in processes]
    return fmean(seconds for _, seconds in taken) if all(code == 0 for code, _ in taken) else 0.0


def shortest(config: Config, seed: int, there: str) -> Config:
    """A run of one step."""
    images = config.recipe.batch_size
    recipe = replace(config.recipe, epochs=1, warmup_epochs=0.0)
    data = replace(config.data, max_train=images, max_test=images)
    return replace(config, seed=seed, runs_dir=there, recipe=recipe, data=data, tracking=Tracking.none)


def table(plan: Plan, speeds: dict[str, Speed], expenses: list[Expense]) -> Table:
    """A row a rung."""
    drawn = Table("rung", "images/s", "a run", "runs", "device hours")
    for name, speed in speeds.items():
        own = [each.seconds for each in expenses if each.step == name]
        drawn.add_row(name, amount(speed.training), duration(fmean(own)), str(len(own)), amount(sum(own) / 3600))
    return drawn


def show(expenses: list[Expense], rates: Rates, console: Console, here: int) -> None:
    """The sums, with what they rest on; `here`: runs at a time on this machine, 0 where it was not measured."""
    sums = total(expenses, rates)
    runs, devices = counted(len(expenses), "run"), counted(rates.devices, "device")
    console.print(f"{runs}: {amount(sums.hours)} device hours, {days(sums.days)} on {devices}")
    if here:
        console.print(f"on this machine, {here} at a time: {days(max(ends(expenses, here)) / 86400)}")
    console.print(f"disk: {amount(sums.gigabytes)} GB of checkpoints")
    console.print(f"energy: {amount(sums.kwh)} kWh at {rates.watts:g} W a device")
    console.print(f"CO2: {amount(sums.kg)} kg at {rates.co2:g} g a kWh")
    console.print(f"price: {amount(sums.price)} at {rates.price:g} a device hour")


def fitting(plan: Plan, expenses: list[Expense], devices: int, budget: str) -> str:
    """What fits into a time: so many rungs, or seeds, or epochs."""
    seconds, rungs = seconds_of(budget), list(dict.fromkeys(each.step for each in expenses))
    seed = expenses[: len(rungs)]  # the first seed of all comes first
    fits = within(seed, devices, seconds)
    seeds, share = seeds_within(seed, devices, seconds), share_within(expenses, devices, seconds)
    longest = max(each.epochs for each in expenses)
    to = f", to {rungs[fits - 1]}" if 0 < fits < len(rungs) else ""
    return (
        f"{budget} on {devices} devices are enough for:\n"
        f"  rungs: {fits} of {len(rungs)} with one seed{to}\n"
        f"  seeds: {seeds} of all rungs\n"
        f"  epochs: {share}% of them in all {len(expenses)} runs ({longest * share // 100} of {longest})"
    )


def days(value: float) -> str:
    """Days for people."""
    return duration(86400 * value) if value < 2 else f"{value:.1f} days"


def amount(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    command(main)

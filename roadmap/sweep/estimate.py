"""The cost estimate of a sweep: time, disk, energy and money, from the speed of each step."""

import heapq
import math
import multiprocessing
import os
import re
import subprocess
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, repeat, takewhile
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from roadmap.cli import counted, duration, options, positive, split, whole
from roadmap.config.length import images_used, run_steps
from roadmap.config.schema import Config, Device, Opt, Precision, Tracking
from roadmap.data.datasets import dataset
from roadmap.environment import child_environment
from roadmap.errors import require
from roadmap.numbers import SECONDS, column
from roadmap.runs import freeze
from roadmap.sweep.cluster import Scheduler
from roadmap.sweep.launcher import train_command
from roadmap.sweep.plan import Plan, make_plan
from roadmap.sweep.resources import environments, gpus
from roadmap.terminal import Terminal

RATES = {"watts": "500", "co2": "400", "price": "2"}
OPTIONS = {"devices": "", **RATES, "budget": "", "images_per_second": "", "images": ""}


class Speed(NamedTuple):
    training: float  # images per second
    evaluation: float
    params: int


class RunCost(NamedTuple):
    step: str
    epochs: int
    startup: float  # seconds that do not depend on the number of epochs
    work: float  # seconds of all epochs on one device
    bytes: int  # size of a checkpoint: weights, their average and the optimizer's state

    @property
    def seconds(self) -> float:
        return self.startup + self.work


def main(words: list[str]) -> int:
    """Estimate hours, disk, energy and money of a sweep before it starts, and how much of it fits into a budget.

        python scripts/plan.py                                        the default study on this machine
        python scripts/plan.py study=imagenet devices=8 budget=14d    on eight devices, within two weeks
        python scripts/plan.py study=imagenet images_per_second=2000  from a training speed, the same for all steps

    Takes all words of a sweep, and devices=, images_per_second=, images=TRAIN,TEST (number of files), budget= (a time
    with its unit: 48h, 90min, 2d), watts=500 (per device), co2=400 (grams per kWh), price=2 (per device hour).

    The speed is measured with a few training steps of each step's network, in as many parallel processes as the sweep
    will run here (one for a cluster); for data in memory, a run of one training step measures the startup. On a CPU, a
    large study takes minutes per step: give images_per_second instead. Decoding of image files is not included. With
    recipe.precision=bfloat16 the first step is measured in float32 too, which some processors train faster.
    """
    own, of_sweep = split(words, OPTIONS)
    chosen, plan = options(own, OPTIONS), make_plan(of_sweep)
    console = Terminal()
    devices = whole(chosen | {"devices": chosen["devices"] or str(min(plan.jobs, len(plan.runs)))}, "devices")
    rates = {key: positive(chosen, key) for key in RATES}
    stated = positive(chosen, "images_per_second") if chosen["images_per_second"] else 0.0
    seconds = seconds_of(chosen["budget"]) if chosen["budget"] else 0.0
    console.print(f"{counted(len(plan.runs), 'run')}: {plan.study}")
    images = image_counts(plan.configs[0], chosen["images"])
    plan.refuse_impossible()
    here = plan.jobs if plan.cluster.scheduler is Scheduler.local and not stated else 0
    steps = plan.configs[: len(plan.steps)]
    speeds = stated_speeds(plan, stated) if stated else speeds_here(steps, here or 1, console)
    whole_plan = len(speeds) == len(steps)
    startup = measured_startup(plan.configs[0], here or 1) if whole_plan and not stated else 0.0
    configs = [config for config in plan.configs if config.step.name in speeds]
    costs = [run_cost(config, speeds[config.step.name], images, startup) for config in configs]
    console.print(table(speeds, costs))
    if whole_plan and not stated and steps[0].recipe.precision is Precision.bfloat16:
        console.print(against_float32(steps[0], speeds, here or 1, console))
    if startup:
        console.print(f"startup of each run: {startup:.1f} s")
    for line in summary(costs, devices, **rates):
        console.print(line)
    if here:
        console.print(f"on this machine, {here} at a time: {duration(max(ends(costs, here)))}")
    if seconds:
        console.print(f"{chosen['budget']} on {counted(devices, 'device')} is enough for:")
        console.print("\n".join(fitting(costs, devices, seconds)))
    return 0 if whole_plan else 130


def speeds_here(configs: Sequence[Config], jobs: int, console: Console) -> dict[str, Speed]:
    """`measured_speeds`, saying of what; those measured so far if it is interrupted (KeyboardInterrupt: none are)."""
    console.print(f"measuring {place(configs[0])}; images_per_second=N instead measures nothing, as on a login node")
    speeds = measured_speeds(configs, jobs, console)
    if not speeds:
        raise KeyboardInterrupt
    if len(speeds) < len(configs):
        of = f"{len(speeds)} of {counted(len(configs), 'step')}"
        console.print(f"interrupted: an estimate of the {of} measured so far")
    return speeds


def place(config: Config) -> str:
    """What a measurement is of: a GPU of this machine, or its CPU, and why."""
    if config.training.device is Device.cpu:
        return "on this machine's CPU (training.device=cpu)"
    return "on a GPU of this machine" if gpus() else "on this machine's CPU, as it has no GPU: not the speed of a GPU"


def image_counts(config: Config, stated: str = "") -> tuple[int, int]:
    """Number of images for training and testing: stated as TRAIN,TEST, of the data set, or counted in its folders."""
    from roadmap.data.folders import count_images

    data, (first, _, second) = config.data, stated.partition(",")
    if stated:
        require(first.isdecimal() and second.isdecimal(), "images", stated, "TRAIN,TEST")
        train, test = (whole({"images": number}, "images", most=10**12) for number in (first, second))
    else:
        train, test = count_images(data) or dataset(data.name).images
        require(train > 0, "images", "", f"TRAIN,TEST: the number of files, which {data.name} does not tell")
    return images_used(data, train, test)


def stated_speeds(plan: Plan, images_per_second: float) -> dict[str, Speed]:
    """The same speed for every step; evaluation is assumed to be three times as fast as training."""
    from roadmap.networks.costs import cost

    speeds = {}
    for config in plan.configs[: len(plan.steps)]:
        params = cost(config.model, num_classes=config.data.num_classes, in_chans=config.data.in_chans).params
        speeds[config.step.name] = Speed(images_per_second, 3 * images_per_second, params)
    return speeds


def against_float32(config: Config, speeds: dict[str, Speed], jobs: int, console: Console) -> str:
    """How much faster a step trains in its bfloat16 than in float32 here: on some processors it is slower."""
    plain = replace(config, recipe=replace(config.recipe, precision=Precision.float32))
    (other,) = measured_speeds([plain], jobs, console).values()
    ratio = speeds[config.step.name].training / other.training
    return f"bfloat16: {ratio:.2f} times the speed of float32, {amount(other.training)} images/s in {config.step.name}"


def measured_speeds(configs: Sequence[Config], jobs: int, console: Console) -> dict[str, Speed]:
    """Mean speed of every step in `jobs` parallel processes of this machine; of the first ones if Ctrl-C comes."""
    from roadmap.training.throughput import measure

    speeds, spawn = {}, multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [ProcessPoolExecutor(1, spawn, set_environment, (each,)) for each in environments(jobs)]
        for pool in pools:
            stack.enter_context(pool)
        status = stack.enter_context(console.status("measuring"))
        for number, config in enumerate(configs, 1):
            text = f"measuring {config.step.name} ({number} of {len(configs)}), {jobs} at a time"
            status.update(text) if console.is_terminal else console.print(text)
            try:
                results = [future.result() for future in [pool.submit(measure, config) for pool in pools]]
            except KeyboardInterrupt:
                break
            training, evaluation, params = zip(*results, strict=True)
            speeds[config.step.name] = Speed(fmean(training), fmean(evaluation), params[0])
            console.print(f"{config.step.name}: {amount(fmean(training))} images/s")
    return speeds


def set_environment(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def measured_startup(config: Config, jobs: int) -> float:
    """Mean seconds of `jobs` parallel runs of one training step; 0 for image files, and if one fails."""
    if not dataset(config.data.name).in_memory:
        return 0.0
    images = config.recipe.batch_size
    recipe = replace(config.recipe, epochs=1, warmup_epochs=0.0)
    data = replace(config.data, max_train=images, max_test=images)
    config = replace(config, recipe=recipe, data=data, tracking=Tracking.none)
    with TemporaryDirectory() as folder:
        commands = [train_command(freeze(replace(config, seed=seed, runs_dir=folder))) for seed in range(jobs)]
        started, quiet = time.monotonic(), subprocess.DEVNULL
        processes = [
            subprocess.Popen(command, stdout=quiet, stderr=quiet, env=child_environment(own))
            for command, own in zip(commands, environments(jobs), strict=True)
        ]
        ended = [(process.wait(), time.monotonic() - started) for process in processes]
    return fmean(seconds for _, seconds in ended) if all(code == 0 for code, _ in ended) else 0.0


def run_cost(config: Config, speed: Speed, images: tuple[int, int], startup: float = 0.0) -> RunCost:
    """The cost of a run that evaluates raw and averaged weights after every epoch."""
    recipe, (train, test) = config.recipe, images
    per_epoch = max(1, train // recipe.batch_size)
    steps = run_steps(config, per_epoch)
    epochs = math.ceil(steps / per_epoch)
    work = steps * recipe.batch_size / speed.training + 2 * test * epochs / speed.evaluation
    copies = 3 if recipe.opt is Opt.sgd else 4
    return RunCost(config.step.name, epochs, startup, work, copies * 4 * speed.params)


def ends(costs: Iterable[RunCost], devices: int) -> Iterator[float]:
    """Seconds at which each run ends if a free device takes the next one, as in a sweep."""
    free = [0.0] * devices
    for cost in costs:
        yield heapq.heapreplace(free, free[0] + cost.seconds) + cost.seconds


def table(speeds: dict[str, Speed], costs: list[RunCost]) -> Table:
    seconds = {step: [cost.seconds for cost in costs if cost.step == step] for step in speeds}
    _, rates = column([speed.training for speed in speeds.values()])
    unit, times = column([fmean(each) for each in seconds.values()], SECONDS)
    _, hours = column([sum(each) / 3600 for each in seconds.values()])
    drawn = Table("step", "images/s", f"{unit} per run", "runs", "device hours")
    for heading in drawn.columns[1:]:
        heading.justify = "right"
    for step, rate, time_, hour in zip(speeds, rates, times, hours, strict=True):
        drawn.add_row(step, rate, time_, str(len(seconds[step])), hour)
    return drawn


def summary(costs: Sequence[RunCost], devices: int, *, watts: float, co2: float, price: float) -> list[str]:
    """Totals of all runs, and the rates that they assume; devices are as fast as the measured one."""
    hours, sizes = sum(cost.seconds for cost in costs) / 3600, sorted(cost.bytes for cost in costs)
    # A run in progress also keeps its previous checkpoint.
    gigabytes, kwh = (sum(sizes) + sum(sizes[-devices:])) / 1e9, hours * watts / 1000
    time_needed = f"{duration(max(ends(costs, devices)))} on {counted(devices, 'device')}"
    return [
        f"{counted(len(costs), 'run')}: {amount(hours)} device hours, {time_needed}",
        f"disk: {amount(gigabytes)} GB of checkpoints",
        f"energy: {amount(kwh)} kWh at {watts:g} W per device",
        f"CO2: {amount(kwh * co2 / 1000)} kg at {co2:g} g per kWh",
        f"price: {amount(hours * price)} at {price:g} per device hour",
    ]


def seconds_of(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|d)", text)
    seconds = float(found[1]) * {"s": 1, "min": 60, "h": 3600, "d": 86400}[found[2]] if found else 0.0
    require(0 < seconds < 1e12, "budget", text, "a time with its unit: 48h, 90min, 2d")
    return seconds


def fitting(costs: Sequence[RunCost], devices: int, seconds: float) -> list[str]:
    """How many steps, seeds or epochs fit into a time; the first seed of all steps comes first in `costs`."""
    steps = list(dict.fromkeys(cost.step for cost in costs))
    first, longest = costs[: len(steps)], max(cost.epochs for cost in costs)
    fits, percent = within(first, devices, seconds), percent_within(costs, devices, seconds)
    seeds = within(chain.from_iterable(repeat(first, 1000)), devices, seconds) // len(steps)
    last = f", up to {steps[fits - 1]}" if 0 < fits < len(steps) else ""
    return [
        f"  steps: {fits} of {len(steps)} with one seed{last}",
        f"  seeds: {seeds} of all steps",
        f"  epochs: {percent}% of them in all {len(costs)} runs ({longest * percent // 100} of {longest})",
    ]


def within(costs: Iterable[RunCost], devices: int, seconds: float) -> int:
    """Number of runs, in the order of a sweep, that end within a time."""
    return sum(1 for _ in takewhile(lambda end: end <= seconds, ends(costs, devices)))


def percent_within(costs: Sequence[RunCost], devices: int, seconds: float) -> int:
    """Largest percentage of their epochs with which all runs end within a time, 0 to 100."""

    def end(percent: int) -> float:
        return max(ends([cost._replace(work=cost.work * percent / 100) for cost in costs], devices))

    return max(0, bisect_right(range(101), seconds, key=end) - 1)


def amount(value: float) -> str:
    """Three significant digits, or all digits before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

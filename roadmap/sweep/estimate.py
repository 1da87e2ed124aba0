"""The cost estimate of a sweep: time, disk, energy and money, from the speed of each step."""

import heapq
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat, takewhile
from statistics import fmean
from typing import NamedTuple

from rich.table import Table

from roadmap.cli import counted, duration, options, positive, split, whole
from roadmap.config.length import images_used, run_steps
from roadmap.config.schema import Config, Opt, Precision
from roadmap.data.datasets import dataset
from roadmap.errors import require
from roadmap.numbers import SECONDS, amount, column
from roadmap.sweep.cluster import Scheduler
from roadmap.sweep.plan import make_plan
from roadmap.sweep.speeds import Speed, against_float32, measured_startup, speeds_here, stated_speeds
from roadmap.terminal import Terminal

RATES = {"watts": "500", "co2": "400", "price": "2"}
OPTIONS = {"devices": "", **RATES, "budget": "", "images_per_second": "", "images": ""}


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

"""Say what a sweep will take before it is begun: hours, disk, energy, money, and what fits into a budget.

    python scripts/plan.py                                        the default study on this machine
    python scripts/plan.py study=imagenet devices=8 budget=5000   on eight like it, and what 5000 device hours are for
    python scripts/plan.py study=imagenet images_per_second=2000  from a speed that you know, the same for every rung

A few steps of each rung are measured, by as many processes at a time as the sweep will have. Steps, seeds and all other
words of a sweep can be given. Not in the estimate: decoding image files, start-up, checkpoints. Rates are stated.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean

from rich.console import Console
from rich.progress import track
from rich.table import Table

from roadmap.checks import require
from roadmap.command import command
from roadmap.data.trees import counted as tree_counted
from roadmap.ladder.board import duration
from roadmap.ladder.expense import Expense, Rates, Speed, expense, images_of, total, within
from roadmap.ladder.plan import Plan, make_plan

OWN = {"devices": "", "watts": "500", "co2": "400", "price": "2", "budget": "", "images_per_second": "", "images": ""}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stated = " ".join(f"{key}={value}" for key, value in OWN.items())
    parser.add_argument("words", nargs="*", metavar="key=value", help=f"{stated}, and all that a sweep takes")
    words = parser.parse_args().words
    own = OWN | dict(word.split("=", 1) for word in words if word.partition("=")[0] in OWN)
    plan = make_plan([word for word in words if word.partition("=")[0] not in OWN])
    devices = int(number(own, "devices", default=plan.jobs))
    rates = Rates(devices, *(number(own, key) for key in ("watts", "co2", "price")))
    counted = tuple(int(part) for part in own["images"].split(",") if part.isdecimal()) or None
    require(counted is None or len(counted) == 2, "images", own["images"], "TRAIN,TEST")
    images = images_of(plan.configs[0], counted or tree_counted(plan.configs[0].data))  # type: ignore[arg-type]
    console = Console(highlight=False, soft_wrap=True)
    given = number(own, "images_per_second", default=0)
    speeds = measured(plan, console, given)
    expenses = [expense(config, speeds[config.step.name], images) for config in plan.configs]
    console.print(table(plan, speeds, expenses))
    show(expenses, rates, console)
    if own["budget"]:
        hours = number(own, "budget")
        fits = within(expenses, hours)
        share = min(1.0, 3600 * hours / sum(each.seconds for each in expenses))
        console.print(
            f"{hours:g} device hours: the first {fits} of {len(expenses)} runs, or all with {share:.0%} of the epochs"
        )
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


def measured(plan: Plan, console: Console, given: float) -> dict[str, Speed]:
    """The speed of every rung, by as many processes at a time as will train; evaluation three times as given."""
    from roadmap.model.costs import cost
    from roadmap.training.speed import measure

    rungs = {config.step.name: config for config in plan.configs}
    if given:
        return {name: Speed(given, 3 * given, cost(config.model).params) for name, config in rungs.items()}
    found = {}
    with ProcessPoolExecutor(plan.jobs, multiprocessing.get_context("spawn")) as pool:
        for name, config in track(rungs.items(), "measuring", console=console, transient=True):
            each = list(pool.map(measure, [config] * plan.jobs))
            found[name] = Speed(fmean(s[0] for s in each), fmean(s[1] for s in each), each[0][2])
    return found


def table(plan: Plan, speeds: dict[str, Speed], expenses: list[Expense]) -> Table:
    """A row a rung."""
    drawn = Table("rung", "images/s", "a run", "runs", "device hours")
    for name, speed in speeds.items():
        own = [each.seconds for each in expenses if each.step == name]
        drawn.add_row(name, amount(speed.training), duration(fmean(own)), str(len(own)), amount(sum(own) / 3600))
    return drawn


def show(expenses: list[Expense], rates: Rates, console: Console) -> None:
    """The sums, with what they rest on."""
    sums = total(expenses, rates)
    when = duration(86400 * sums.days) if sums.days < 2 else f"{sums.days:.1f} days"
    console.print(f"{len(expenses)} runs: {amount(sums.hours)} device hours, {when} on {rates.devices} devices")
    console.print(f"disk: {amount(sums.gigabytes)} GB of checkpoints")
    console.print(f"energy: {amount(sums.kwh)} kWh at {rates.watts:g} W a device")
    console.print(f"CO2: {amount(sums.kg)} kg at {rates.co2:g} g a kWh")
    console.print(f"price: {amount(sums.price)} at {rates.price:g} a device hour")


def amount(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    command(main)

"""What a sweep will take: time, disk, energy and money, from the speed of its rungs."""

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, takewhile
from typing import NamedTuple

from roadmap.config.schema import Config, Opt
from roadmap.data.datasets import dataset
from roadmap.errors import require

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
"""Of a time, in seconds."""
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Rates:
    """What is stated, not measured."""

    devices: int
    """As fast as the one that was measured, each with one run at a time."""
    watts: float
    """Drawn by a device with its share of the machine around it."""
    co2: float
    """Grams a kWh."""
    price: float
    """Of a device's hour."""


class Speed(NamedTuple):
    """Images a second, and the size of the network that they were measured on."""

    training: float
    evaluation: float
    params: int


class Expense(NamedTuple):
    """A run's."""

    step: str
    seconds: float
    """Of one device."""
    epochs: int
    startup: float
    """Seconds of those that do not depend on the epochs."""
    bytes: int
    """On disk: a checkpoint of the weights, their average, and what the optimizer keeps of each."""


class Total(NamedTuple):
    """Of many runs."""

    hours: float
    """Of one device."""
    days: float
    """On all devices."""
    gigabytes: float
    kwh: float
    kg: float
    """Of CO2."""
    price: float


def images_of(config: Config, counted: tuple[int, int] | None = None) -> tuple[int, int]:
    """Images for training and for the test.

    Raises:
        ConfigError: nobody has counted the files.
    """
    data = config.data
    train, test = counted or dataset(data.name).images
    require(train > 0, "images", "", f"TRAIN,TEST: the number of files, which {data.name} does not tell")
    return min(train, data.max_train or train), min(test, data.max_test or test)


def expense(config: Config, speed: Speed, images: tuple[int, int], startup: float = 0.0) -> Expense:
    """What a run takes, with both raw and averaged weights evaluated after every epoch."""
    recipe = config.recipe
    trained = images[0] // recipe.batch_size * recipe.batch_size * recipe.epochs
    seconds = startup + trained / speed.training + 2 * images[1] * recipe.epochs / speed.evaluation
    copies = 3 if recipe.opt is Opt.sgd else 4
    return Expense(config.step.name, seconds, recipe.epochs, startup, copies * 4 * speed.params)


def total(expenses: Sequence[Expense], rates: Rates) -> Total:
    """What all runs take; no number of devices makes one of them faster."""
    hours = sum(each.seconds for each in expenses) / 3600
    energy = hours * rates.watts / 1000
    sizes = [each.bytes for each in expenses]
    return Total(
        hours=hours,
        days=max(ends(expenses, rates.devices)) / 86400,
        # A run at work has a second checkpoint, the one before.
        gigabytes=(sum(sizes) + sum(sorted(sizes)[-rates.devices :])) / 1e9,
        kwh=energy,
        kg=energy * rates.co2 / 1000,
        price=hours * rates.price,
    )


def ends(expenses: Iterable[Expense], devices: int) -> Iterator[float]:
    """When each run is over, in seconds, where a device that is free takes the next one, as in a sweep."""
    free = [0.0] * devices
    for each in expenses:
        yield heapq.heapreplace(free, free[0] + each.seconds) + each.seconds


def seconds_of(text: str) -> float:
    """A time such as 48h, 90min or 2d in seconds.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|d)", text)
    require(found is not None and float(found[1]) > 0, "budget", text, "a time with its unit: 48h, 90min, 2d")
    assert found
    return float(found[1]) * UNITS[found[2]]


def within(expenses: Iterable[Expense], devices: int, seconds: float) -> int:
    """How many runs, in the order of a sweep, are over in so many seconds."""
    return sum(1 for _ in takewhile(lambda end: end <= seconds, ends(expenses, devices)))


def seeds_within(seed: Sequence[Expense], devices: int, seconds: float) -> int:
    """How many whole seeds are over, where one of them takes `seed`; no more than `MOST_SEEDS`."""
    return within(chain.from_iterable(repeat(seed, MOST_SEEDS)), devices, seconds) // len(seed)


def share_within(expenses: Sequence[Expense], devices: int, seconds: float) -> int:
    """Percent of their epochs with which all runs are over, 0 to 100."""

    def end(percent: int) -> float:
        shorter = [each._replace(seconds=each.startup + shrunk(each) * percent / 100) for each in expenses]
        return max(ends(shorter, devices))

    def shrunk(each: Expense) -> float:
        return each.seconds - each.startup

    return max(0, bisect_right(range(101), seconds, key=end) - 1)

"""What a sweep will take: time, disk, energy and money, from the speed of its rungs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from roadmap.checks import IMAGENET_IMAGES, IN_MEMORY, require
from roadmap.schema import Config, Dataset, Opt

IMAGES = {Dataset.imagenet: (IMAGENET_IMAGES["train"], IMAGENET_IMAGES["val"])}
"""For training and for the test, of data sets that are files."""
TEST_IMAGES = 10_000
"""Of every data set that is held in memory."""


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
    bytes: int
    """On disk: two checkpoints of the weights, their average, and what the optimizer keeps of each."""


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
    data, facts = config.data, IN_MEMORY.get(config.data.name)
    known = counted or (facts and (facts.images, TEST_IMAGES)) or IMAGES.get(data.name)
    require(known is not None, "images", "", f"TRAIN,TEST: the number of files, which {data.name.value} does not tell")
    train, test = known or (0, 0)
    return min(train, data.max_train or train), min(test, data.max_test or test)


def expense(config: Config, speed: Speed, images: tuple[int, int]) -> Expense:
    """What a run takes, with both raw and averaged weights evaluated after every epoch."""
    recipe = config.recipe
    trained = images[0] // recipe.batch_size * recipe.batch_size * recipe.epochs
    seconds = trained / speed.training + 2 * images[1] * recipe.epochs / speed.evaluation
    copies = 3 if recipe.opt is Opt.sgd else 4
    return Expense(config.step.name, seconds, 2 * copies * 4 * speed.params)


def total(expenses: Sequence[Expense], rates: Rates) -> Total:
    """What all runs take; no number of devices makes one of them faster."""
    hours = sum(each.seconds for each in expenses) / 3600
    longest = max(each.seconds for each in expenses) / 3600
    energy = hours * rates.watts / 1000
    return Total(
        hours=hours,
        days=max(hours / rates.devices, longest) / 24,
        gigabytes=sum(each.bytes for each in expenses) / 1e9,
        kwh=energy,
        kg=energy * rates.co2 / 1000,
        price=hours * rates.price,
    )


def within(expenses: Sequence[Expense], hours: float) -> int:
    """How many runs, in the order of a sweep, so many hours of one device are enough for."""
    left = 3600 * hours
    for count, each in enumerate(expenses):
        left -= each.seconds
        if left < 0:
            return count
    return len(expenses)

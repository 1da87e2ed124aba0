"""What a few seeds can tell: differences with their uncertainty, and the agreement of two ladders."""

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Not scipy.stats where these will do: it takes a second to import.
from scipy.special import nctdtr, stdtr, stdtrit

LEVEL = 0.05
"""A change whose p, corrected over its ladder, is below this is told from zero."""
EFFECT, POWER = 0.2, 0.8
"""Points of top-1 that are worth seeing, and how often they are to be seen."""
MOST_SEEDS = 10_000


class Sample(NamedTuple):
    """What is known of the runs of a rung."""

    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None where there is none."""
    n: int


@dataclass(frozen=True)
class Difference:
    """A difference of two means, with its confidence interval and two-sided p value where there are any."""

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def welch(before: Sample, after: Sample, *, confidence: float = 0.95) -> Difference:
    """Mean of `after` minus mean of `before`, with Welch's interval and p value (unequal variances).

    Both need a deviation on both sides; without them they are left out. Where neither side has any spread the
    interval is the difference itself, and p 0, or 1 if there is no difference.
    """
    mean = after.mean - before.mean
    if before.std is None or after.std is None:
        return Difference(mean)
    shares = before.std**2 / before.n, after.std**2 / after.n  # of the squared error
    error = math.sqrt(sum(shares))
    if error == 0:
        return Difference(mean, mean, mean, float(mean == 0))
    # Welch-Satterthwaite
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / (before.n - 1) + shares[1] ** 2 / (after.n - 1))
    margin = error * float(stdtrit(freedom, (1 + confidence) / 2))
    return Difference(mean, mean - margin, mean + margin, 2 * float(stdtr(freedom, -abs(mean) / error)))


def holm(values: Sequence[float]) -> list[float]:
    """P values corrected for there being so many of them (Holm 1979), in the same order.

    Below a level stand those that may be called told from zero when not even one of them is to be so by chance,
    but for that share of ladders.
    """
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * np.asarray(values, dtype=float)[order]))
    return corrected.tolist()


def pooled(samples: Sequence[Sample]) -> float | None:
    """The deviation that all rungs share if they share one; None where no rung has one."""
    known = [(sample.std**2, sample.n - 1) for sample in samples if sample.std is not None]
    return math.sqrt(sum(v * freedom for v, freedom in known) / sum(f for _, f in known)) if known else None


def power(n: int, std: float, effect: float = EFFECT) -> float:
    """How often a difference of `effect` between two rungs of n seeds each is seen, by a t test at `LEVEL`."""
    freedom, shift = 2 * n - 2, effect / (std * math.sqrt(2 / n))
    edge = stdtrit(freedom, 1 - LEVEL / 2)
    return float(1 - nctdtr(freedom, shift, edge) + nctdtr(freedom, shift, -edge))


def seeds_needed(std: float, effect: float = EFFECT) -> int:
    """The fewest seeds a rung with which `effect` is seen with a power of `POWER`; no more than `MOST_SEEDS`."""
    if std == 0:
        return 2
    return bisect_left(range(MOST_SEEDS), POWER, lo=2, key=lambda n: power(n, std, effect))


def one_run(top1: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval, in percent, of one run on so many test images: what no number of decimals goes below."""
    from scipy.stats import binomtest

    interval = binomtest(round(top1 / 100 * images), images).proportion_ci(0.95, "wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Kendall's tau-b between two rankings of the same things: 1 same order, -1 reversed.

    None where it is not defined: fewer than two things, or a side on which all are equal.
    """
    signs_a, signs_b = (np.sign(np.subtract.outer(side, side)) for side in (np.asarray(a), np.asarray(b)))
    untied = float(np.sqrt((signs_a**2).sum() * (signs_b**2).sum()))
    return float((signs_a * signs_b).sum()) / untied if untied else None


def same_sign(a: Sequence[float], b: Sequence[float]) -> int:
    """How many pairs of changes go the same way: both up, both down, or both not at all."""
    # Rounded, so that two sums of equal parts in another order count as no change.
    return int((np.sign(np.round(a, 9)) == np.sign(np.round(b, 9))).sum())

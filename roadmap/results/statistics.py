"""Differences between a few seeds with their uncertainty, and the agreement of two rankings."""

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.05  # a change is significant if its p value, corrected for all changes of its ladder, is below this
EFFECT, POWER = 0.2, 0.8  # points of top-1 that `seeds_needed` looks for, and the probability to find them
MOST_SEEDS = 10_000


class Sample(NamedTuple):
    """The runs of a step."""

    mean: float
    std: float | None  # sample standard deviation (n - 1); None for one run
    n: int


class Difference(NamedTuple):
    """A difference of two means; its 95 % confidence interval and two-sided p value are None for too few runs."""

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def welch(before: Sample, after: Sample) -> Difference:
    """Mean of `after` minus mean of `before`, with Welch's 95 % interval and p value (unequal variances).

    Interval and p value need a standard deviation on both sides. If both are zero, the interval is the difference
    itself and p is 0, or 1 without a difference.
    """
    from scipy.special import stdtr, stdtrit  # scipy is slow to import

    mean = after.mean - before.mean
    if before.std is None or after.std is None:
        return Difference(mean)
    errors = before.std**2 / before.n, after.std**2 / after.n  # squared standard errors
    error = math.sqrt(sum(errors))
    if error == 0:
        return Difference(mean, mean, mean, float(mean == 0))
    # Welch-Satterthwaite
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (before.n - 1) + errors[1] ** 2 / (after.n - 1))
    margin = error * float(stdtrit(freedom, 1 - LEVEL / 2))
    return Difference(mean, mean - margin, mean + margin, 2 * float(stdtr(freedom, -abs(mean) / error)))


def holm(values: Sequence[float]) -> list[float]:
    """P values with Holm's correction (1979) for their number, in the same order.

    Rejecting where the corrected value is below alpha controls the family-wise error rate at alpha.
    """
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * np.asarray(values, dtype=float)[order]))
    return corrected.tolist()


def pooled(samples: Sequence[Sample]) -> float | None:
    """The standard deviation pooled over samples of equal variance; None if every sample is one run."""
    known = [(sample.std**2, sample.n - 1) for sample in samples if sample.std is not None]
    return math.sqrt(sum(v * freedom for v, freedom in known) / sum(f for _, f in known)) if known else None


def power(n: int, std: float, effect: float = EFFECT) -> float:
    """Probability that a t test at `LEVEL` finds a difference of `effect` between two steps of n seeds each."""
    from scipy.special import nctdtr, stdtrit

    freedom, shift = 2 * n - 2, effect / (std * math.sqrt(2 / n))
    edge = stdtrit(freedom, 1 - LEVEL / 2)
    return float(1 - nctdtr(freedom, shift, edge) + nctdtr(freedom, shift, -edge))


def seeds_needed(std: float, effect: float = EFFECT) -> int:
    """The fewest seeds per step that find `effect` with probability `POWER`; at most `MOST_SEEDS`."""
    if std == 0:
        return 2
    return bisect_left(range(MOST_SEEDS), POWER, lo=2, key=lambda n: power(n, std, effect))


def one_run(top1: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval, in percent, of the top-1 of one run on a test set of `images`."""
    from scipy.stats import binomtest

    interval = binomtest(round(top1 / 100 * images), images).proportion_ci(0.95, "wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Kendall's tau-b of two rankings of the same items: 1 for the same order, -1 for the reverse.

    None if it is not defined: fewer than two items, or all equal on one side.
    """
    from scipy.stats import kendalltau

    if min(len(set(a)), len(set(b))) < 2:
        return None
    return float(kendalltau(a, b).statistic)


def same_sign(a: Sequence[float], b: Sequence[float]) -> int:
    """In how many pairs both changes are positive, both negative, or both zero."""
    # Rounded: equal sums in another order are no change.
    return int((np.sign(np.round(a, 9)) == np.sign(np.round(b, 9))).sum())

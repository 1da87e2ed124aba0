"""What a few seeds can tell: differences with their uncertainty, and the agreement of two ladders."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Not scipy.stats, which takes a second to import for the one quantile that is needed.
from scipy.special import stdtrit


@dataclass(frozen=True)
class Difference:
    """A difference of two means, with its confidence interval where there is one."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def told_from_zero(self) -> bool | None:
        """Whether the interval leaves zero out; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def welch(before: Sequence[float], after: Sequence[float], *, confidence: float = 0.95) -> Difference:
    """Mean of `after` minus mean of `before`, with Welch's interval (unequal variances).

    The interval needs two values on both sides; without them it is left out. Where both sides have no spread
    at all it is the difference itself.

    Raises:
        ValueError: a side without values.
    """
    if not before or not after:
        raise ValueError("a difference needs at least one value on both sides")
    mean = statistics.fmean(after) - statistics.fmean(before)
    if min(len(before), len(after)) < 2:
        return Difference(mean)
    shares = [statistics.variance(side) / len(side) for side in (before, after)]  # of the squared error
    error = math.sqrt(sum(shares))
    if error == 0:
        return Difference(mean, mean, mean)
    # Welch-Satterthwaite
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / (len(before) - 1) + shares[1] ** 2 / (len(after) - 1))
    margin = error * float(stdtrit(freedom, (1 + confidence) / 2))
    return Difference(mean, mean - margin, mean + margin)


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

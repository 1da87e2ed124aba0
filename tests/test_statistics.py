import itertools
import math
import random

import pytest
from scipy import stats

from roadmap.ladder.statistics import Difference, deviation, kendall_tau, same_sign, welch


def test_welch_is_that_of_scipy() -> None:
    draw = random.Random(0)
    for n, m in itertools.product((2, 3, 8), repeat=2):
        before = [draw.gauss(86, 0.3) for _ in range(n)]
        after = [draw.gauss(86.4, 0.9) for _ in range(m)]
        interval = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
        ours = welch(before, after)
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_welch_by_hand() -> None:
    # Both variances 1 with n = 3: error sqrt(2 / 3), four degrees of freedom, 2.776 in the tables.
    ours = welch([1.0, 2.0, 3.0], [8.0, 9.0, 10.0])
    assert ours.mean == 7
    assert ours.low == pytest.approx(7 - 2.776 * math.sqrt(2 / 3), abs=1e-3)
    assert ours.high == pytest.approx(7 + 2.776 * math.sqrt(2 / 3), abs=1e-3)
    assert ours.told_from_zero is True


def test_other_confidence_is_narrower() -> None:
    before, after = [1.0, 2.0, 3.0], [2.0, 2.5, 4.0]
    half, most = welch(before, after, confidence=0.5), welch(before, after)
    assert most.low is not None and half.low is not None and most.low < half.low


def test_one_seed_has_no_interval() -> None:
    for before, after in (([86.0], [87.0]), ([86.0], [87.0, 87.0]), ([86.0, 86.0], [87.0])):
        ours = welch(before, after)
        assert ours == Difference(1.0, None, None)
        assert ours.told_from_zero is None
    assert deviation([86.0]) is None
    assert deviation([86.0, 87.0]) == pytest.approx(math.sqrt(0.5))


def test_without_spread_the_interval_is_the_difference() -> None:
    assert welch([1.0, 1.0], [2.0, 2.0]) == Difference(1.0, 1.0, 1.0)
    assert welch([1.0, 1.0], [1.0, 1.0]).told_from_zero is False


def test_a_side_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        welch([], [1.0])


@pytest.mark.parametrize(
    ("low", "high", "told"), [(-0.1, 0.3, False), (0.1, 0.3, True), (-0.3, -0.1, True), (0.0, 0.3, False)]
)
def test_told_from_zero(low: float, high: float, told: bool) -> None:
    assert Difference(0.1, low, high).told_from_zero is told


def test_kendall_is_that_of_scipy_with_ties() -> None:
    draw = random.Random(1)
    for n in (2, 5, 18):
        a, b = [draw.random() for _ in range(n)], [draw.randrange(3) + 0.0 for _ in range(n)]
        b[0], b[1] = 0.0, 1.0
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_kendall_of_few_or_equal_things_is_not_defined() -> None:
    assert kendall_tau([], []) is None
    assert kendall_tau([1.0], [2.0]) is None
    assert kendall_tau([1.0, 1.0], [1.0, 2.0]) is None
    assert kendall_tau([1.0, 2.0, 3.0], [9.0, 8.0, 7.0]) == -1


def test_same_sign_counts_no_change_as_a_sign() -> None:
    assert same_sign([1.0, -1.0, 0.0, 0.0, 2.0], [0.1, 0.1, 0.0, 0.1, -3.0]) == 2
    assert same_sign([0.1 + 0.2 - 0.3], [0.0]) == 1
    assert same_sign([], []) == 0

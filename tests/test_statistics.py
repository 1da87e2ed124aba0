import itertools
import math
import random
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from roadmap.results import statistics
from roadmap.results.statistics import Difference, Sample, kendall_tau, pooled, welch


def sample(values: Sequence[float]) -> Sample:
    return Sample(fmean(values), statistics.deviation(values), len(values))


def test_welch_is_that_of_scipy() -> None:
    draw = random.Random(0)
    for n, m in itertools.product((2, 3, 8), repeat=2):
        before = [draw.gauss(86, 0.3) for _ in range(n)]
        after = [draw.gauss(86.4, 0.9) for _ in range(m)]
        test = stats.ttest_ind(after, before, equal_var=False)
        interval = test.confidence_interval(0.95)
        ours = welch(sample(before), sample(after))
        assert (ours.low, ours.high, ours.p) == pytest.approx((interval.low, interval.high, test.pvalue), rel=1e-9)


def test_one_seed_has_no_interval() -> None:
    for before, after in (([86.0], [87.0]), ([86.0], [87.0, 87.0]), ([86.0, 86.0], [87.0])):
        assert welch(sample(before), sample(after)) == Difference(1.0, None, None, None)
    assert statistics.deviation([86.0]) is None
    assert statistics.deviation([86.0, 87.0]) == pytest.approx(math.sqrt(0.5))
    # Without spread, the interval is the difference.
    assert welch(Sample(1, 0, 2), Sample(2, 0, 2)) == Difference(1.0, 1.0, 1.0, 0.0)
    assert welch(Sample(1, 0, 2), Sample(1, 0, 2)).p == 1


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 raised to 0.06, 0.9 * 1
    assert statistics.holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])
    assert statistics.holm([0.5, 0.6]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_the_pooled_deviation_weighs_steps_by_their_degrees_of_freedom() -> None:
    assert pooled([Sample(0, 1.0, 2), Sample(0, 2.0, 4), Sample(0, None, 1)]) == pytest.approx(math.sqrt(13 / 4))
    assert pooled([Sample(0, None, 1)]) is None


def test_the_seeds_needed_are_the_fewest_with_enough_power() -> None:
    # 17 per group is in every table of the two-sample t test for an effect of one deviation.
    assert statistics.seeds_needed(0.2, effect=0.2) == 17
    for std in (0.01, 0.1, 0.34, 1.0):
        n = statistics.seeds_needed(std)
        assert statistics.power(n, std) >= 0.8 and (n == 2 or statistics.power(n - 1, std) < 0.8)
    assert (statistics.seeds_needed(0.0), statistics.seeds_needed(1000.0)) == (2, 10_000)


def test_one_run_is_uncertain_by_its_test_images() -> None:
    interval = stats.binomtest(8600, 10_000).proportion_ci(method="wilson")
    assert statistics.one_run(86.0, 10_000) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert statistics.one_run(0.0, 500)[0] == 0 and statistics.one_run(100.0, 500)[1] == 100


def simulated(effects: Sequence[float], stds: Sequence[float], n: int, draws: int) -> list[list[Difference]]:
    """The changes of ladders with these effects and standard deviations."""
    levels = 80 + np.cumsum(effects)
    values = np.random.default_rng(6).normal(levels, stds, (draws, n, len(levels)))
    ladders = zip(values.mean(axis=1).tolist(), values.std(axis=1, ddof=1).tolist(), strict=True)
    steps = [[Sample(*step, n) for step in zip(means, deviations, strict=True)] for means, deviations in ladders]
    return [[welch(before, after) for before, after in itertools.pairwise(ladder)] for ladder in steps]


@pytest.mark.parametrize("n", [3, 8])
def test_intervals_cover_the_known_effects_of_simulated_ladders(n: int) -> None:
    effects = (0.0, 0.5, -1.2, 0.1)
    ladders = simulated(effects, (0.3, 0.3, 0.2, 0.4), n, 3_000)
    for change, effect in enumerate(effects[1:]):
        covered = [ladder[change].low <= effect <= ladder[change].high for ladder in ladders]  # type: ignore[operator]
        assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_ladders_without_effects_rarely_have_a_significant_change() -> None:
    ladders = [[change.p for change in ladder if change.p] for ladder in simulated([0.0] * 7, [0.3] * 7, 3, 2_000)]
    assert np.mean([min(statistics.holm(values)) < 0.05 for values in ladders]) < 0.05
    assert np.mean([min(values) < 0.05 for values in ladders]) > 0.15, "too many without correction"


def test_kendall_of_few_or_equal_items_is_not_defined() -> None:
    assert kendall_tau([], []) is kendall_tau([1.0], [2.0]) is kendall_tau([1.0, 1.0], [1.0, 2.0]) is None
    assert kendall_tau([1.0, 2.0, 3.0], [9.0, 8.0, 7.0]) == pytest.approx(-1)


def test_same_sign_counts_no_change_as_a_sign() -> None:
    assert statistics.same_sign([1.0, -1.0, 0.0, 0.0, 2.0], [0.1, 0.1, 0.0, 0.1, -3.0]) == 2
    assert statistics.same_sign([0.1 + 0.2 - 0.3], [0.0]) == 1
    assert statistics.same_sign([], []) == 0

"""Stateless randomness: seeds, epochs and streams are unrelated, and global generators are restored."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from roadmap.data.rng import Stream, epoch_order, epoch_uniforms, mix, preserved, reseed


def test_global_generators_are_restored_after_an_error() -> None:
    before = np.random.get_state()[1].copy()
    with pytest.raises(KeyError), preserved():
        reseed(2**40)
        np.random.rand()
        raise KeyError
    assert np.array_equal(np.random.get_state()[1], before)


def test_mix_scatters() -> None:
    values = {mix(seed, step) for seed in range(100) for step in range(100)}
    assert len(values) == 10_000 and all(0 <= value < 2**63 for value in values)
    assert len({value % 2**32 for value in values}) > 9_990
    assert len({mix(), mix(0), mix(1), mix(0, 0), mix(1, 2), mix(2, 1), mix(12)}) == 7
    assert mix(0, Stream.crops) == mix(0, 2)
    assert mix(1, 2, 3) == 2904650318439132554  # or runs resumed by a newer version would change course


def correlation(a: Tensor, b: Tensor) -> float:
    return abs(torch.corrcoef(torch.stack((a.flatten().double(), b.flatten().double())))[0, 1].item())


@pytest.mark.parametrize(
    "numbers", [lambda *a, s: epoch_uniforms(*a, 5000, k=2, stream=s), lambda *a, s: epoch_order(*a, 10_000)]
)
def test_neighbouring_seeds_and_epochs_are_unrelated(numbers: Callable[..., Tensor]) -> None:
    reference = numbers(0, 0, s=Stream.crops)
    assert torch.equal(numbers(0, 0, s=Stream.crops), reference)
    for other in ((0, 1), (1, 0), (1, 1)):
        assert correlation(numbers(*other, s=Stream.crops), reference) < 0.04
    assert correlation(epoch_uniforms(0, 0, 5000, k=2, stream=Stream.flips), reference) < 0.04
    assert torch.equal(epoch_order(0, 0, 100).sort().values, torch.arange(100))

"""Randomness without state: every draw is a function of the run's seed and of where in the run it is made."""

import contextlib
import hashlib
from collections.abc import Iterator
from enum import IntEnum

import numpy
import torch
from torch import Tensor


class Stream(IntEnum):
    """What a draw is for. The streams of a seed are independent: one more or less changes no other."""

    order = 0
    flips = 1
    crops = 2
    erasures = 3
    noise = 4
    mixup = 5


def mix(*integers: int) -> int:
    """A hash of the integers, 0 to 2**63 - 1: neighbouring integers give unrelated seeds."""
    digest = hashlib.blake2b(repr(tuple(map(int, integers))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """The order in which an epoch goes through n images: a permutation, (n,) int64, on the CPU."""
    return torch.randperm(n, generator=_generator(seed, epoch, Stream.order))


def epoch_uniforms(seed: int, epoch: int, n: int, *, k: int, stream: Stream) -> Tensor:
    """k numbers for each of n images, uniform in [0, 1): (n, k) float32, on the CPU."""
    return torch.rand(n, k, generator=_generator(seed, epoch, stream))


def epoch_normals(seed: int, epoch: int, n: int) -> Tensor:
    """n numbers from the standard normal distribution: (n,) float32, on the CPU."""
    return torch.randn(n, generator=_generator(seed, epoch, Stream.noise))


@contextlib.contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Numpy's global generator in a state that `seed` alone decides; its own state comes back afterwards."""
    state = numpy.random.get_state()
    numpy.random.seed(seed % 2**32)
    try:
        yield
    finally:
        numpy.random.set_state(state)


def _generator(seed: int, epoch: int, stream: Stream) -> torch.Generator:
    return torch.Generator().manual_seed(mix(seed, epoch, stream))

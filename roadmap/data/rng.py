"""Stateless randomness: every draw is a function of the run's seed and of its position in the run."""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from enum import IntEnum

import numpy
import torch
from torch import Tensor


class Stream(IntEnum):
    """Purpose of a draw. The streams of a seed are independent: adding one changes no other."""

    order = 0
    flips = 1
    crops = 2
    erasures = 3
    noise = 4
    mixup = 5
    randaugment = 6
    subset = 7


def mix(*integers: int) -> int:
    """A hash of the integers, 0 to 2**63 - 1, so that neighbouring integers give unrelated seeds."""
    digest = hashlib.blake2b(repr(tuple(map(int, integers))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """The order of n images in an epoch: a permutation, (n,) int64, on the CPU."""
    return torch.randperm(n, generator=_generator(seed, epoch, Stream.order))


def class_order(seed: int, label: int, n: int) -> Tensor:
    """A permutation of the n images of a class, (n,) int64."""
    return torch.randperm(n, generator=_generator(seed, label, Stream.subset))


def epoch_uniforms(seed: int, epoch: int, n: int, *, k: int, stream: Stream) -> Tensor:
    """k uniform numbers in [0, 1) for each of n images: (n, k) float32, on the CPU."""
    return torch.rand(n, k, generator=_generator(seed, epoch, stream))


def epoch_normals(seed: int, epoch: int, n: int) -> Tensor:
    """n standard normal numbers: (n,) float32, on the CPU."""
    return torch.randn(n, generator=_generator(seed, epoch, Stream.noise))


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Restore the global generators of Python, numpy and torch afterwards."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])


def reseed(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch, which timm and torchvision draw from."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also queue a call per device type


def _generator(seed: int, epoch: int, stream: Stream) -> torch.Generator:
    return torch.Generator().manual_seed(mix(seed, epoch, stream))

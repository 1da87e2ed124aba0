"""Keeping a run within training.memory_gb, without changing what it computes.

What fills the memory of a step is what its forward pass keeps for the backward pass, in proportion to its images. Where
no layer mixes images, a pass is taken in parts, whose gradients add up to its own. Batch norm does mix them; there, the
backward pass computes each block's forward pass again instead of keeping what is in it (Chen et al., arXiv 1604.06174).
"""

import copy
import math
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from roadmap.config.schema import Config, Opt
from roadmap.errors import ConfigError
from roadmap.networks.ladder import Block, Network
from roadmap.networks.layers import DropPath
from roadmap.training.device import arithmetic, memory_mb

PROBES = (2, 4)
"""Images whose forward pass is looked at; memory is linear in their number."""
AT_WORK, EVALUATING = 1, 4
"""Tensors as large as the largest: beside what is kept when the backward pass begins, and of layers in evaluation."""
BESIDE_MB = 130.0
"""What the first steps bring in beside: code of libraries, their scratch, blocks too small to be given back."""
MARGIN = 1.1
"""What is lost between blocks of memory."""


class Room(NamedTuple):
    """What fits."""

    images: int | None = None
    """Of a forward pass at a time; unset: the whole pass."""
    twice: bool = False
    """Whether blocks are computed again in the backward pass."""
    evaluated: int | None = None
    """Images at a time in evaluation; unset: training.eval_batch_size."""

    def told(self, whole: int) -> str:
        """How passes of so many images are computed, if not as they are."""
        divided = self.images is not None and self.images < whole
        told = [f"{self.images} of {whole} images at a time"] if divided else []
        return ", ".join(told + ["blocks computed twice"] * self.twice)


class Footprint(NamedTuple):
    """Bytes that a forward pass of some images makes."""

    kept: float
    """For the backward pass."""
    kept_twice: float
    """The same where blocks are computed again: the inputs of those up to the one at work, and all that is in it."""
    largest: float
    """One tensor."""


def fit(network: Network, config: Config, device: torch.device) -> Room:
    """Make a network's passes fit into training.memory_gb.

    Raises:
        ConfigError: they cannot; the message says what they need, and which bn_batch_size would fit.
    """
    if config.training.memory_gb is None:
        return Room()
    few, more = (footprint(network, config, device, images) for images in PROBES)
    each = Footprint(*((b - a) / (PROBES[1] - PROBES[0]) for a, b in zip(few, more, strict=True)))
    states = 2 if config.recipe.opt is Opt.sgd else 3  # gradients, and what the optimizer keeps
    weights = sum(parameter.nbytes for parameter in network.parameters())
    fixed = 1e6 * held_mb(device) + states * weights + few.kept - PROBES[0] * each.kept
    free = config.training.memory_gb * 1e9 - fixed
    work, n = AT_WORK * each.largest, min(config.recipe.bn_batch_size, config.recipe.batch_size)
    mixes = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    evaluated = min(config.training.eval_batch_size, int(free / MARGIN / (EVALUATING * each.largest)))
    for twice, kept in ((False, each.kept), (True, each.kept_twice)):
        most = int(free / MARGIN / (kept + work))
        if evaluated > 0 and (most >= n or (most > 0 and not mixes)):
            return Room(min(n, most), twice, evaluated)
    need = fixed + MARGIN * (each.kept_twice + work) * (n if mixes else 1)
    told = f"{math.ceil(need / 1e7) / 100} or more for {config.step.name}"
    if mixes:
        told += f", whose batch norm wants {n} images at once"
        smaller = [size for size in range(2, most + 1) if config.recipe.batch_size % size == 0]
        told += f"; or recipe.bn_batch_size={smaller[-1]}, which is another experiment" if smaller else ""
    raise ConfigError(f"training.memory_gb={config.training.memory_gb}: allowed is {told}")


def footprint(network: Network, config: Config, device: torch.device, images: int) -> Footprint:
    """See what a forward pass of so many images keeps, and where."""
    twin, data = copy.deepcopy(network).train(), config.data
    blocks = [module for module in twin.modules() if isinstance(module, Block)]
    seen = {tensor.untyped_storage().data_ptr() for tensor in (*twin.parameters(), *twin.buffers())}
    kept: dict[nn.Module | None, int] = {None: 0}
    inputs: dict[nn.Module, int] = {}
    largest, where = 0, None

    def entering(block: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal where
        where, kept[block], inputs[block] = block, 0, given[0].nbytes

    def leaving(module: nn.Module, _given: object, made: Tensor) -> None:
        nonlocal largest, where
        largest, where = max(largest, made.nbytes), None if module is where else where

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            kept[where] += storage.nbytes()
        return tensor

    for module in twin.modules():
        module.register_forward_hook(leaving)
    for block in blocks:
        block.register_forward_pre_hook(entering)
    x = torch.zeros(images, data.in_chans, data.img_size, data.img_size, device=device)
    saving = saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.random.fork_rng(devices=[]), saving, arithmetic(config.recipe.precision, device):
        twin(x)
    before = accumulate(inputs[block] for block in blocks)
    twice = max(so_far + kept[block] for so_far, block in zip(before, blocks, strict=True))
    return Footprint(sum(kept.values()), kept[None] + twice, largest)


@cache
def held_mb(device: torch.device) -> float:
    """What the process held when it first asked, which was before its first step, and what that will add.

    Later nobody can tell it from what is free again but was not given back.
    """
    return memory_mb(device) + BESIDE_MB


def apply(room: Room, network: Network) -> None:
    """Let the blocks of a network compute twice, or not."""
    for module in network.modules():
        if isinstance(module, Block):
            module.recompute = room.twice


def parts(images: int, most: int | None) -> list[slice]:
    """A pass in as few parts of up to `most` images as there can be, of nearly the same size."""
    count = -(-images // (most or images))
    return [slice(images * i // count, images * (i + 1) // count) for i in range(count)]


def enter(part: slice, whole: int, network: nn.Module) -> None:
    """Let the stochastic depth of a network draw what it draws for these images in a pass of the whole."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.whole, module.part = whole, part

"""Keep a process within training.memory_gb without changing its result.

Most of a step's memory is saved by the forward pass for the backward pass, in proportion to the images. A micro-batch
that does not fit is split into chunks, whose gradients add up to its own. Batch norm mixes the images of a
micro-batch, so networks with batch norm use gradient checkpointing of their blocks (Chen et al., arXiv 1604.06174).
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
from roadmap.networks.device import arithmetic, memory_mb
from roadmap.networks.ladder import Block, Network
from roadmap.networks.layers import DropPath

PROBES = (2, 4)  # images of the measured forward passes; memory is linear in their number
TEMPORARIES, TEMPORARIES_IN_EVALUATION = 1, 4
"""In units of the largest tensor: beside the saved tensors when the backward pass begins, and in evaluation."""
OVERHEAD_MB = 130.0  # of the first steps: library code, scratch
MARGIN = 1.1  # fragmentation


class MemoryPlan(NamedTuple):
    """How micro-batches are computed; by default as they are."""

    chunk: int | None = None  # images per forward pass
    checkpointing: bool = False  # gradient checkpointing of the blocks
    eval_batch_size: int | None = None

    def description(self, micro_batch: int) -> str:
        """How micro-batches of this size are computed; empty if as they are."""
        split = [f"chunks of {self.chunk} of {micro_batch} images"] if (self.chunk or micro_batch) < micro_batch else []
        return ", ".join(split + ["gradient checkpointing"] * self.checkpointing)


def make_plan(network: Network, config: Config, device: torch.device) -> MemoryPlan:
    """The plan that fits into training.memory_gb, with as little extra work as possible, or a ConfigError."""
    limit, recipe = config.training.memory_gb, config.recipe
    if limit is None:
        return MemoryPlan()
    few, more = (footprint(network, config, device, images) for images in PROBES)
    saved, saved_checkpointing, largest = ((b - a) / (PROBES[1] - PROBES[0]) for a, b in zip(few, more, strict=True))
    states = 2 if recipe.opt is Opt.sgd else 3  # gradients, and the state of the optimizer
    weights = sum(parameter.nbytes for parameter in network.parameters())
    fixed = 1e6 * held_mb(device) + states * weights + few[0] - PROBES[0] * saved
    free = limit * 1e9 - fixed
    temporaries, size = TEMPORARIES * largest, min(recipe.bn_batch_size, recipe.batch_size)
    mixes = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    evaluated = min(config.training.eval_batch_size, int(free / MARGIN / (TEMPORARIES_IN_EVALUATION * largest)))
    for checkpointing, kept in ((False, saved), (True, saved_checkpointing)):
        most = int(free / MARGIN / (kept + temporaries))
        if evaluated > 0 and (most >= size or (most > 0 and not mixes)):
            return MemoryPlan(min(size, most), checkpointing, evaluated)
    need = fixed + MARGIN * (saved_checkpointing + temporaries) * (size if mixes else 1)
    allowed = f"{math.ceil(need / 1e7) / 100} or more for {config.step.name}"
    if mixes:
        allowed += f", whose batch norm needs {size} images at once"
        smaller = [n for n in range(2, most + 1) if recipe.batch_size % n == 0]
        allowed += f"; or recipe.bn_batch_size={smaller[-1]}, which is another experiment" if smaller else ""
    raise ConfigError(f"training.memory_gb={limit}: allowed is {allowed}")


def footprint(network: Network, config: Config, device: torch.device, images: int) -> tuple[int, int, int]:
    """Bytes saved for the backward pass, bytes saved with gradient checkpointing, and bytes of the largest tensor.

    With checkpointing, the peak is where the backward pass of some block begins: the inputs of the blocks up to it,
    and all that this block saves.
    """
    copied, data = copy.deepcopy(network).train(), config.data
    seen = {tensor.untyped_storage().data_ptr() for tensor in (*copied.parameters(), *copied.buffers())}
    saved, inputs = [0], list[int]()  # bytes saved outside of blocks, then by each block; inputs of the blocks
    block = largest = 0

    def enter(_block: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal block
        saved.append(0)
        inputs.append(args[0].nbytes)
        block = len(inputs)

    def leave(*_: object) -> None:
        nonlocal block
        block = 0

    def save(tensor: Tensor) -> Tensor:
        nonlocal largest
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            saved[block] += storage.nbytes()
            largest = max(largest, storage.nbytes())
        return tensor

    for module in copied.modules():
        if isinstance(module, Block):
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
    x = torch.zeros(images, data.in_chans, data.img_size, data.img_size, device=device)
    hooks = saved_tensors_hooks(save, lambda tensor: tensor)
    with torch.random.fork_rng(devices=[]), hooks, arithmetic(config.recipe.precision, device):
        copied(x)
    outside, *blocks = saved
    return sum(saved), outside + max(map(sum, zip(accumulate(inputs), blocks, strict=True))), largest


@cache
def held_mb(device: torch.device) -> float:
    """Memory held before the first step, and the overhead of it. Cached: later, freed memory cannot be told apart."""
    return memory_mb(device) + OVERHEAD_MB


def apply(plan: MemoryPlan, network: Network) -> None:
    """Switch the gradient checkpointing of a network's blocks."""
    for module in network.modules():
        if isinstance(module, Block):
            module.recompute = plan.checkpointing


def chunks(images: int, most: int | None) -> list[slice]:
    """A micro-batch as few chunks of at most `most` images, of nearly equal size."""
    count = -(-images // (most or images))
    return [slice(images * i // count, images * (i + 1) // count) for i in range(count)]


def select(chunk: slice, micro_batch: int, network: nn.Module) -> None:
    """Let stochastic depth draw for a whole micro-batch and use the draws of one chunk."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.whole, module.part = micro_batch, chunk

"""A network in step with its copies in the other processes of a run.

What a run computes does not depend on their number: gradients are those of the whole batch, and the running statistics
of batch norm are those that one process would have gathered from all forward passes of a step in their order.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from roadmap.training.compiling import compiled_as_eager
from roadmap.training.distributed import World


class Replica:
    """A network, called like one; after the last pass of a step its gradients are the sum over all processes."""

    def __init__(self, model: nn.Module, world: World, *, compiled: bool = False) -> None:
        self._world = world
        alone = world.size == 1
        self._network = model if alone else parallel(model)
        self._called = compiled_as_eager(self._network) if compiled else self._network
        # Synchronized ones are alike in all processes already.
        self._norms = [] if alone else [m for m in model.modules() if type(m) is nn.BatchNorm2d]
        self._before: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self._called(images)
        return logits

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Around a forward and a backward pass: only the `last` of a step waits for the other processes."""
        if last or not isinstance(self._network, DistributedDataParallel):
            return nullcontext()
        return self._network.no_sync()

    def backward(self, loss: Tensor) -> None:
        """The backward pass of this process's share of a loss that is a sum over all."""
        (loss * self._world.size if self._world.size > 1 else loss).backward()  # torch takes the mean over processes

    def begin(self) -> None:
        """Before the first forward pass of a step."""
        self._before = [value.clone() for value in self._statistics()]

    @torch.no_grad()
    def merge(self, passes: int) -> None:
        """After the last of this process's `passes`: running statistics as if all had gone through one process.

        A pass makes (1 - m) r + m s of running statistics r and its own s. So k passes give (1 - m)^k r + c, where c
        is of these passes alone, and all passes give (1 - m)^K r and each process's c, faded by the passes after it.
        """
        if not self._norms:
            return
        kept = 1 - (self._norms[0].momentum or 0.0)
        after = passes * (self._world.size - 1 - self._world.rank)
        flat = torch.cat([value.flatten() for value in self._statistics()])
        before = torch.cat([value.flatten() for value in self._before])
        own = (flat - kept**passes * before) * kept**after
        merged = kept ** (passes * self._world.size) * before + self._world.sum_tensor(own)
        for value, part in zip(self._statistics(), merged.split([v.numel() for v in self._before]), strict=True):
            value.copy_(part)
        for norm in self._norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += passes * (self._world.size - 1)

    def _statistics(self) -> list[Tensor]:
        values = [value for norm in self._norms for value in (norm.running_mean, norm.running_var)]
        return [value for value in values if value is not None]


def parallel(model: nn.Module) -> DistributedDataParallel:
    """The network as torch keeps it in step, but for its buffers, which torch would make those of one process."""
    # The memory layout of a 1x1 conv's gradient is ambiguous; torch copes, and would say so for every network.
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.15 has another name for it, which 2.9 does not know
        return DistributedDataParallel(model, broadcast_buffers=False)

"""The processes that carry out one run together, as torchrun starts them; usually it is one.

Their number does not change the result: gradients are those of the whole batch, and the running statistics of batch
norm are those that one process would have gathered from all micro-batches of a step, in order.
"""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from roadmap.environment import RANKS, torchrun_ranks
from roadmap.errors import ConfigError
from roadmap.networks.device import compiled

TIMEOUT = timedelta(minutes=10)  # how long a process waits for the others before it fails
NOTICE_SECONDS = 5.0


@dataclass(frozen=True)
class World:
    """The rank of this process among those of the run. `sum`, `sum_tensor` and `gather` wait for all of them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # rank among the processes on this machine

    @classmethod
    def from_env(cls) -> "World":
        """This process as torchrun describes it in the environment."""
        return cls(*torchrun_ranks(os.environ))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes the files and reports."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Sum each value over the processes, in float64."""
        return self.sum_tensor(torch.tensor(values, dtype=torch.float64)).tolist()

    def sum_tensor(self, values: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gather(self, text: str = "") -> list[str]:
        """The text of each process, by rank."""
        texts = [text] * self.size
        if self.size > 1:
            distributed.all_gather_object(texts, text)
        return texts


@contextmanager
def joined() -> Iterator[World]:
    """Join the process group, and leave it at the end: Gloo between CPUs, NCCL between GPUs.

    A ConfigError if the other processes do not come.
    """
    world = World.from_env()
    with ExitStack() as stack:
        if world.size > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            with _speaking(world):
                distributed.init_process_group(backend, timeout=TIMEOUT)
            stack.callback(distributed.destroy_process_group)
        yield world


@contextmanager
def _speaking(world: World) -> Iterator[None]:
    """Say why nothing happens: old variables of torchrun make a process wait for others that nobody starts."""
    meet = "{MASTER_ADDR}:{MASTER_PORT}".format_map(os.environ)
    text = f"rank {world.rank} waits for all {world.size} processes at {meet}, as RANK and WORLD_SIZE say"
    text += f"; for a run of one process: unset {' '.join(RANKS)}"
    notice = threading.Timer(NOTICE_SECONDS, lambda: print(text, file=sys.stderr, flush=True))
    notice.daemon = True
    notice.start()
    try:
        yield
    except distributed.DistError as error:
        raise ConfigError(f"{text} ({str(error).splitlines()[0]})") from error
    finally:
        notice.cancel()


class Replica:
    """The model as it is called in training; after the last backward pass of a step, gradients are summed."""

    def __init__(self, model: nn.Module, world: World, *, compile: bool = False) -> None:
        self._world, self._network = world, model
        self._norms: list[nn.BatchNorm2d] = []
        self._before: list[Tensor] = []
        if world.size > 1:
            # torch.nn.SyncBatchNorm has the same statistics in all processes already.
            self._norms = [module for module in model.modules() if type(module) is nn.BatchNorm2d]
            # The strides of a 1x1 conv's gradient are ambiguous; DDP handles them, and would warn for every network.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch 2.15 renamed the argument
                # DDP would overwrite the buffers with those of one process.
                self._network = DistributedDataParallel(model, broadcast_buffers=False)
        self._called = compiled(self._network) if compile else self._network

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, K)."""
        return self._called(images)

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Context of a forward and backward pass: gradients are exchanged after the `last` of a step only."""
        if last or not isinstance(self._network, DistributedDataParallel):
            return nullcontext()
        return self._network.no_sync()

    def backward(self, loss: Tensor) -> None:
        """Backward pass of this process's share of a loss that is summed over the processes."""
        (loss * self._world.size if self._world.size > 1 else loss).backward()  # DDP takes the mean of the gradients

    def begin(self) -> None:
        """Call before the first forward pass of a step."""
        self._before = [value.clone() for value in self._statistics()]

    @torch.no_grad()
    def merge(self, micro_batches: int) -> None:
        """Merge running statistics after the last of this process's micro-batches of a step.

        A micro-batch with statistics s turns running statistics r into (1 - m) r + m s. So k of them give
        (1 - m)^k r + c, where c depends on them alone, and all K of the step give (1 - m)^K r plus each process's c,
        decayed by the micro-batches of the processes after it.
        """
        if not self._norms:
            return
        kept = 1 - (self._norms[0].momentum or 0.0)
        after = micro_batches * (self._world.size - 1 - self._world.rank)
        flat = torch.cat([value.flatten() for value in self._statistics()])
        before = torch.cat([value.flatten() for value in self._before])
        own = (flat - kept**micro_batches * before) * kept**after
        merged = kept ** (micro_batches * self._world.size) * before + self._world.sum_tensor(own)
        for value, part in zip(self._statistics(), merged.split([v.numel() for v in self._before]), strict=True):
            value.copy_(part)
        for norm in self._norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += micro_batches * (self._world.size - 1)

    def _statistics(self) -> list[Tensor]:
        values = [value for norm in self._norms for value in (norm.running_mean, norm.running_var)]
        return [value for value in values if value is not None]

"""The processes that carry out one run together, as torchrun starts them; mostly it is one.

Imports torch where it is needed only: a script asks which process it is before it loads torch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives them up."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks for all."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """(rank, size), for what is divided among the processes."""
        return self.rank, self.size

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the processes, in float64; all of them wait here for each other."""
        if self.size == 1:
            return list(values)
        import torch

        summed: list[float] = self.sum_tensor(torch.tensor(values, dtype=torch.float64)).tolist()
        return summed

    def sum_tensor(self, values: "torch.Tensor") -> "torch.Tensor":
        """A tensor summed over the processes, in place."""
        if self.size > 1:
            import torch

            torch.distributed.all_reduce(values)
        return values

    def say(self, text: str = "") -> list[str]:
        """What each process says, by rank; all of them wait here for each other."""
        if self.size == 1:
            return [text]
        import torch

        said: list[str] = [""] * self.size
        torch.distributed.all_gather_object(said, text)
        return said


def first_of_machine() -> bool:
    """Whether no other process of the run on this machine comes before this one."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def of_environment() -> World:
    """This process as torchrun describes it in the environment."""
    return World(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


@contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes, and part from them at the end: Gloo between CPUs, NCCL between GPUs."""
    world = of_environment()
    if world.size == 1:
        yield world
        return
    import torch

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield world
    finally:
        torch.distributed.destroy_process_group()

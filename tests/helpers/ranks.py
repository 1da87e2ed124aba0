"""One process of several, for tests: takes the first optimizer steps of some runs and leaves what came of them.

torchrun --nproc_per_node=2 tests/helpers/ranks.py DIRECTORY '{"a name": ["float64", "key=value", ...], ...}'
"""

import json
import sys
from pathlib import Path

import torch

from roadmap.config.compose import compose
from roadmap.data.loader import load
from roadmap.networks.device import set_up
from roadmap.training.checkpoint import Checkpointer
from roadmap.training.distributed import joined
from roadmap.training.loop import train_epoch
from roadmap.training.progress import Progress
from roadmap.training.state import initial_state


def first_epochs(directory: Path, jobs: dict[str, list[str]]) -> None:
    """Of each job write directory/<name>-<rank>.pt: gradients, buffers and loss of an epoch, the number of steps."""
    with joined() as world:
        for job, (precision, *words) in jobs.items():
            config, dtype = compose(words), getattr(torch, precision)
            torch.set_default_dtype(dtype)
            state = initial_state(config, set_up(config), world)
            torch.set_default_dtype(torch.float32)
            state.model.register_forward_pre_hook(lambda _, inputs, dtype=dtype: (inputs[0].to(dtype),))
            with Progress(config, directory, speaks=False) as progress:
                checkpointer = Checkpointer(directory=directory, config=config, world=world, progress=progress)
                training = load(config, train=True)
                train_epoch(state, training, checkpointer, stop=[])
            left = {
                "gradients": {name: p.grad for name, p in state.model.named_parameters()},
                "buffers": dict(state.model.named_buffers()),
                "loss": state.loss_sum,
                "steps": state.step,
            }
            torch.save(left, directory / f"{job}-{world.rank}.pt")


if __name__ == "__main__":
    first_epochs(Path(sys.argv[1]), json.loads(sys.argv[2]))

"""One process of several, for tests: takes the first optimizer steps of a run and leaves what came of them.

torchrun --nproc_per_node=2 tests/ranks.py DIRECTORY key=value ...
"""

import sys
from pathlib import Path

import torch

from roadmap.config import compose
from roadmap.data.augment import batches_per_epoch
from roadmap.data.load import load
from roadmap.training.loop import Keeper, train_epoch
from roadmap.training.machine import set_up
from roadmap.training.progress import Progress
from roadmap.training.state import initial_state
from roadmap.training.world import joined


def first_epoch(directory: Path, words: list[str]) -> None:
    """Write directory/<rank>.pt: gradients and buffers after an epoch, its loss, the number of steps."""
    config = compose(words)
    with joined() as world:
        state = initial_state(config, set_up(config), world)
        images = load(config, train=True)
        keeper = Keeper(directory, config, writes=False, before=0.0)
        with Progress(config, directory, speaks=False) as progress:
            train_epoch(state, images, config, keeper, progress, [])
        left = {
            "gradients": {name: p.grad for name, p in state.model.named_parameters()},
            "buffers": dict(state.model.named_buffers()),
            "loss": state.loss_sum,
            "steps": state.step,
            "per_epoch": batches_per_epoch(images, config.recipe),
        }
        torch.save(left, directory / f"{world.rank}.pt")


if __name__ == "__main__":
    first_epoch(Path(sys.argv[1]), sys.argv[2:])

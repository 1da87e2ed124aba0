"""How fast this machine trains and evaluates a rung: a few real steps on random images."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from roadmap.config.schema import Config
from roadmap.data.in_memory import Images
from roadmap.data.loader import evaluation_batches, micro_batches
from roadmap.evals.accuracy import evaluate
from roadmap.training.device import set_up
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.state import initial_state

SECONDS = 1.0
"""Work is repeated for at least so long, after a first time that does not count."""
CPU_PIXELS = 8 * 224 * 224
"""Of a forward pass on a CPU, where more of them at a time are no faster but the measurement would take minutes."""


def measure(config: Config) -> tuple[float, float, int]:
    """Images a second of a run in training and of one network in evaluation; the network's parameters.

    Everything that a step does is in it but the decoding and the single augmentation of image files. Other processes
    may do the same at the same time.
    """
    device, data = set_up(config), config.data
    size = min(config.recipe.bn_batch_size, config.recipe.batch_size)
    if device.type == "cpu":
        size = min(size, max(2, CPU_PIXELS // data.img_size**2 // 2 * 2))
    recipe = replace(config.recipe, batch_size=size, bn_batch_size=size, sync_bn=1, aa="none")
    config = replace(config, recipe=recipe)
    state = initial_state(config, device, World())
    shape = (size, data.in_chans, data.img_size, data.img_size)
    images = Images(torch.randint(256, shape, dtype=torch.uint8), torch.randint(data.num_classes, (size,))).to(device)

    def train() -> None:
        passes = micro_batches(images, recipe, data, seed=0, epoch=state.step)
        train_step(state, passes, config, per_epoch=1000)
        state.ema.update()
        state.step += 1

    def test() -> None:
        evaluate([state.model], evaluation_batches(images, data, size), num_classes=data.num_classes)

    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    return size / _seconds(train), size / _seconds(test), parameters


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes, on average; both kinds of work end with numbers on the CPU, so nothing is pending."""
    work()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        work()
        count += 1
    return elapsed / count

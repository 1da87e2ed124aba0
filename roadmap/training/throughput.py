"""Training and evaluation speed of a network on this machine, measured with random images."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from roadmap.config.schema import Config
from roadmap.data.in_memory import Images
from roadmap.data.loader import evaluation_batches, micro_batches
from roadmap.evals.accuracy import evaluate
from roadmap.networks.device import set_up
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.state import initial_state

SECONDS = 1.0  # shortest measurement, after one warm-up step
CPU_PIXELS = 8 * 224 * 224
"""Most pixels of a micro-batch on a CPU: larger ones are not faster, and take minutes to measure."""


def measure(config: Config) -> tuple[float, float, int]:
    """Images per second in training and in evaluation of one network, and its number of parameters.

    Includes everything that a training step does except decoding and augmenting single image files.
    """
    device, data = set_up(config), config.data
    size = min(config.recipe.bn_batch_size, config.recipe.batch_size)
    if device.type == "cpu":
        size = min(size, max(2, CPU_PIXELS // data.img_size**2 // 2 * 2))
    recipe = replace(config.recipe, batch_size=size, bn_batch_size=size, sync_bn=False, aa="none")
    config = replace(config, recipe=recipe)
    state = initial_state(config, device, World())
    shape = (size, data.in_chans, data.img_size, data.img_size)
    images = Images(torch.randint(256, shape, dtype=torch.uint8), torch.randint(data.num_classes, (size,))).to(device)

    def train() -> None:
        batches = micro_batches(images, recipe, data, seed=0, epoch=state.step)
        train_step(state, batches, config, steps=1000 * recipe.epochs)
        state.ema.update()
        state.step += 1

    def test() -> None:
        evaluate([state.model], evaluation_batches(images, data, size), num_classes=data.num_classes)

    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    return size / _seconds(train), size / _seconds(test), parameters


def _seconds(work: Callable[[], object]) -> float:
    """Mean seconds of `work`, which ends with numbers on the CPU, so that nothing is pending on a GPU."""
    work()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        work()
        count += 1
    return elapsed / count

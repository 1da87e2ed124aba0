"""Measure the training step of every rung against the plain one: the same network in NCHW, ordinary optimizer.

    python scripts/benchmark.py                          the default study's networks and batch
    python scripts/benchmark.py steps=[resnet,gelu]      some rungs
    python scripts/benchmark.py study=smoke --rounds 9   another study, more rounds

Both steps alternate in one process; the ratio is the median over the rounds, its spread from the lowest to the highest.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from roadmap.command import command
from roadmap.ladder.plan import make_plan
from roadmap.model.create import build
from roadmap.schema import Config
from roadmap.training.machine import set_up
from roadmap.training.recipe import loss_function, make_optimizer


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="steps, only, and options of a run")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two steps alternate")
    arguments = parser.parse_args()
    configs = make_plan([*arguments.words, "seeds=1"]).configs
    console = Console(highlight=False)
    table = Table("rung", "images/s", "plain", "ratio", "spread", title=f"batch {configs[0].recipe.bn_batch_size}")
    ratios = []
    for config in configs:
        ours, plain = measure(config, arguments.rounds)
        each = [p / o for o, p in zip(ours, plain, strict=True)]
        ratios.append(statistics.median(each))
        images = config.recipe.bn_batch_size
        rates = [f"{images / statistics.median(seconds):,.0f}" for seconds in (ours, plain)]
        table.add_row(config.step.name, *rates, f"{ratios[-1]:.2f}", f"{min(each):.2f} to {max(each):.2f}")
        console.print(f"{config.step.name}: {ratios[-1]:.2f}")
    console.print(table)
    console.print(f"geometric mean {statistics.geometric_mean(ratios):.2f}, worst {min(ratios):.2f}")
    return 0


def measure(config: Config, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of a step, ours and the plain one, of each round; a first round warms up and does not count."""
    device = set_up(config)
    steps = [make_step(config, device, plain=plain) for plain in (False, True)]
    seconds = [[timed(step) for step in steps] for _ in range(rounds + 1)][1:]
    return [pair[0] for pair in seconds], [pair[1] for pair in seconds]


def make_step(config: Config, device: torch.device, *, plain: bool) -> Callable[[], None]:
    """A training step on random images."""
    torch.manual_seed(0)
    data, recipe = config.data, config.recipe
    classes = data.num_classes
    model = build(config.model, num_classes=classes, in_chans=data.in_chans, channels_last=not plain).to(device).train()
    plain_optimizer = torch.optim.AdamW(model.parameters())
    optimizer = plain_optimizer if plain else make_optimizer(model, recipe)
    images = torch.randn(recipe.bn_batch_size, data.in_chans, data.img_size, data.img_size, device=device)
    if not plain:
        images = images.to(memory_format=torch.channels_last)
    targets = torch.randint(classes, (len(images),), device=device)

    def step() -> None:
        optimizer.zero_grad()
        loss_function(model(images), targets, recipe.smoothing).backward()
        optimizer.step()

    return step


def timed(step: Callable[[], None]) -> float:
    """Seconds that a step takes."""
    started = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    command(main)

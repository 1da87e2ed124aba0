"""The training speed of each step's network, measured on this machine or stated, and the startup of a run."""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console

from roadmap.cli import counted
from roadmap.config.schema import Config, Device, Precision, Tracking
from roadmap.data.datasets import dataset
from roadmap.environment import child_environment
from roadmap.numbers import amount
from roadmap.runs import freeze
from roadmap.sweep.launcher import train_command
from roadmap.sweep.plan import Plan
from roadmap.sweep.resources import environments, gpus


class Speed(NamedTuple):
    training: float  # images per second
    evaluation: float
    params: int


def speeds_here(configs: Sequence[Config], jobs: int, console: Console) -> dict[str, Speed]:
    """`measured_speeds`, saying of what; those measured so far if it is interrupted (KeyboardInterrupt: none are)."""
    console.print(f"measuring {place(configs[0])}; images_per_second=N instead measures nothing, as on a login node")
    speeds = measured_speeds(configs, jobs, console)
    if not speeds:
        raise KeyboardInterrupt
    if len(speeds) < len(configs):
        of = f"{len(speeds)} of {counted(len(configs), 'step')}"
        console.print(f"interrupted: an estimate of the {of} measured so far")
    return speeds


def place(config: Config) -> str:
    """What a measurement is of: a GPU of this machine, or its CPU, and why."""
    if config.training.device is Device.cpu:
        return "on this machine's CPU (training.device=cpu)"
    return "on a GPU of this machine" if gpus() else "on this machine's CPU, as it has no GPU: not the speed of a GPU"


def stated_speeds(plan: Plan, images_per_second: float) -> dict[str, Speed]:
    """The same speed for every step; evaluation is assumed to be three times as fast as training."""
    from roadmap.networks.costs import cost

    speeds = {}
    for config in plan.configs[: len(plan.steps)]:
        params = cost(config.model, num_classes=config.data.num_classes, in_chans=config.data.in_chans).params
        speeds[config.step.name] = Speed(images_per_second, 3 * images_per_second, params)
    return speeds


def against_float32(config: Config, speeds: dict[str, Speed], jobs: int, console: Console) -> str:
    """How much faster a step trains in its bfloat16 than in float32 here: on some processors it is slower."""
    plain = replace(config, recipe=replace(config.recipe, precision=Precision.float32))
    (other,) = measured_speeds([plain], jobs, console).values()
    ratio = speeds[config.step.name].training / other.training
    return f"bfloat16: {ratio:.2f} times the speed of float32, {amount(other.training)} images/s in {config.step.name}"


def measured_speeds(configs: Sequence[Config], jobs: int, console: Console) -> dict[str, Speed]:
    """Mean speed of every step in `jobs` parallel processes of this machine; of the first ones if Ctrl-C comes."""
    from roadmap.training.throughput import measure

    speeds, spawn = {}, multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [ProcessPoolExecutor(1, spawn, set_environment, (each,)) for each in environments(jobs)]
        for pool in pools:
            stack.enter_context(pool)
        status = stack.enter_context(console.status("measuring"))
        for number, config in enumerate(configs, 1):
            text = f"measuring {config.step.name} ({number} of {len(configs)}), {jobs} at a time"
            status.update(text) if console.is_terminal else console.print(text)
            try:
                results = [future.result() for future in [pool.submit(measure, config) for pool in pools]]
            except KeyboardInterrupt:
                break
            training, evaluation, params = zip(*results, strict=True)
            speeds[config.step.name] = Speed(fmean(training), fmean(evaluation), params[0])
            console.print(f"{config.step.name}: {amount(fmean(training))} images/s")
    return speeds


def set_environment(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def measured_startup(config: Config, jobs: int) -> float:
    """Mean seconds of `jobs` parallel runs of one training step; 0 for image files, and if one fails."""
    if not dataset(config.data.name).in_memory:
        return 0.0
    images = config.recipe.batch_size
    recipe = replace(config.recipe, epochs=1, warmup_epochs=0.0)
    data = replace(config.data, max_train=images, max_test=images)
    config = replace(config, recipe=recipe, data=data, tracking=Tracking.none)
    with TemporaryDirectory() as folder:
        commands = [train_command(freeze(replace(config, seed=seed, runs_dir=folder))) for seed in range(jobs)]
        started, quiet = time.monotonic(), subprocess.DEVNULL
        processes = [
            subprocess.Popen(command, stdout=quiet, stderr=quiet, env=child_environment(own))
            for command, own in zip(commands, environments(jobs), strict=True)
        ]
        ended = [(process.wait(), time.monotonic() - started) for process in processes]
    return fmean(seconds for _, seconds in ended) if all(code == 0 for code, _ in ended) else 0.0

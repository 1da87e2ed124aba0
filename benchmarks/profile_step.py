"""Profile a training step by operator."""

import sys
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Step, configured, our_step
from roadmap import cli
from roadmap.config.steps import regimes
from roadmap.networks.device import set_up

DEFAULTS = {"step": "separate_downsampling", "regime": "micro", "batch": "256", "precision": "float32", "threads": "1"}


class Operator(NamedTuple):
    """All calls of an operator in one step."""

    name: str
    ms: float
    calls: int


def main(words: list[str]) -> int:
    """Print the ten most expensive operators of a training step, by torch's profiler.

        python benchmarks/profile_step.py step=gelu
        python benchmarks/profile_step.py step=gelu regime=resnet50 batch=8 precision=bfloat16 threads=1

    Times are of the operator itself, without the operators that it calls, in the fastest of six steps.
    """
    chosen = cli.options(words, DEFAULTS)
    regime = cli.choice(chosen, "regime", regimes())
    precision = cli.choice(chosen, "precision", ("float32", "bfloat16"))
    size = {key: cli.whole(chosen, key) for key in ("batch", "threads")}
    config = configured(chosen["step"], regime, **size, words=[f"recipe.precision={precision}"])
    found, total = profiled(our_step(config, set_up(config)))
    title = f"{chosen['step']}, {regime} regime, batch {size['batch']}, {precision}: {total:.0f} ms"
    table = Table("operator", title=title)
    for heading in ("ms per step", "share", "calls"):
        table.add_column(heading, justify="right")
    for operator in found[:10]:
        table.add_row(operator.name, f"{operator.ms:.1f}", f"{operator.ms / total:.0%}", str(operator.calls))
    Console(highlight=False).print(table)
    return 0


def profiled(step: Step, repeats: int = 6) -> tuple[list[Operator], float]:
    """The operators of a step, the most expensive first, and the milliseconds of all.

    The fastest of several steps counts: in the others the profiler's own memory is in the way.
    """
    step()
    return min((_profiled(step) for _ in range(repeats)), key=lambda found: found[1])


def _profiled(step: Step) -> tuple[list[Operator], float]:
    gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as profiler:
        step()
    own = "self_device_time_total" if gpu else "self_cpu_time_total"
    # Kernels are listed as well; their time is already that of the operators that launch them.
    events = [event for event in profiler.key_averages() if event.device_type == DeviceType.CPU]
    found = [Operator(event.key, getattr(event, own) / 1e3, event.count) for event in events]
    return sorted(found, key=lambda operator: -operator.ms), sum(operator.ms for operator in found)


if __name__ == "__main__":
    sys.exit(cli.run("profile_step", main, sys.argv[1:]))

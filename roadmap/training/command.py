"""The command `train`: one run, from overrides or from the directory in which a sweep froze it."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from roadmap import cli, runs
from roadmap.config import compose as configuration
from roadmap.config.capacity import refuse_oversized
from roadmap.config.length import refuse_uneven
from roadmap.data.fetch import prepare
from roadmap.data.records import listed
from roadmap.environment import torchrun_ranks
from roadmap.errors import ConfigError, DataError, NonFiniteLoss, require
from roadmap.signals import Interrupted

FROZEN = {"run": "", "wait": "0", "child": "false"}
"""Options of a sweep's processes: the run's directory, the seconds to wait for a process that still holds it, and
whether to end when standard input closes."""
QUIET_SECONDS = 3.0
"""How long a process waits for torchrun to end it, when another one of its machine says why the run is refused."""


def main(words: list[str]) -> int:
    """Train one step of a ladder: its start with all changes up to that step.

        python train.py                                the start of the ladder, on the default study
        python train.py +step=inverted_bottleneck      one step
        python train.py +step=gelu study=smoke seed=1  another study, another seed
        python train.py study=fashion_mnist_recipe +step=mixup            a step of another ladder
        torchrun --nproc_per_node=2 train.py +step=gelu                   the same run by two processes
        python train.py +step=move_up_depthwise step.name=kernel_13 model.kernel_size=13    a step of your own
        python train.py +step=gelu --cfg               print the configuration and stop
        python train.py run=runs/smoke/gelu/seed-0     carry out the run that is frozen in a directory

    Any option of conf/ can be set as key=value. An interrupted run resumes; a finished one is only reported.
    Exit code: 0 finished, 1 failed, 2 refused, 128 + signal number if interrupted.
    """
    _, processes, local_rank = torchrun_ranks(os.environ)  # before torch is imported, which takes seconds
    try:
        prepared = _prepared(words, processes)
    except (ConfigError, DataError):
        if local_rank == 0:
            raise
        time.sleep(QUIET_SECONDS)  # torchrun ends all at the first to end: that is the one which says why
        return 2
    return prepared if isinstance(prepared, int) else _carry_out(*prepared)


def _prepared(words: list[str], processes: int) -> tuple[Path, float] | int:
    """The directory of the run to carry out, and how long to wait for it; or an exit code if there is none.

    What it refuses, every process of the machine refuses.
    """
    own = [word for word in words if word.partition("=")[0] in FROZEN]
    overrides = [word for word in words if word not in own and word != "--cfg"]
    chosen = cli.options(own, FROZEN)
    if chosen["run"]:
        require(len(own) == len(words), "run", chosen["run"], "no other options: those frozen there apply")
        configuration.load(Path(chosen["run"]) / runs.CONFIG)
        if cli.flag(chosen, "child"):
            threading.Thread(target=_end_with_parent, daemon=True).start()
        return Path(chosen["run"]), float(chosen["wait"])
    configuration.refuse_nameless(overrides)
    config = configuration.compose(overrides)
    if "--cfg" in words:
        print(configuration.as_yaml(config), end="")
        return 0
    if not runs.finished(runs.run_directory(config)):
        refuse_uneven(config, processes)
    runs.refuse_other_run(config)
    from roadmap.networks.device import capacity
    from roadmap.training.distributed import World

    refuse_oversized(config, capacity(config))
    if config.recipe.init_weights:  # refused before anything is made
        from roadmap.networks.weight_files import initial_weights

        initial_weights(config)
    data, world = None, World.from_env()
    if world.local_rank == 0:
        prepare(config.data)
        if runs.begun(runs.run_directory(config)):
            data = listed(config.data)
    directory = runs.prepare(config, data) if world.first else runs.run_directory(config)
    return directory, 0.0


def _carry_out(directory: Path, wait: float) -> int:
    """Train and report how the run ended."""
    from roadmap.training.distributed import World
    from roadmap.training.run import execute

    try:
        result = execute(directory, wait=wait)
    except Interrupted as interruption:
        print(f"interrupted: the same command resumes it ({directory})", file=sys.stderr)
        return 128 + int(interruption.args[0])
    except NonFiniteLoss as error:
        print(f"failed: {error} ({directory / runs.FAILURE})", file=sys.stderr)
        return 1
    if World.from_env().first:
        name = f"{result['step']} seed {result['seed']}"
        print(f"{name}: top-1 {result['metrics']['top1']:.2f} % in {result['wall_seconds']:.0f} s ({directory})")
    return 0


def _end_with_parent() -> None:
    """Wait until the process at the other end of standard input is gone, then stop this one with SIGTERM."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

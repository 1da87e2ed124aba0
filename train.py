"""Train one rung of the ladder.

    python train.py                                the ResNet, on the default study
    python train.py +step=inverted_bottleneck      one rung: the ResNet with all changes up to this one
    python train.py +step=gelu study=smoke seed=1  another study, another seed
    python train.py study=fashion_mnist_recipe +recipe_step=mixup                 a rung of the recipe's own ladder
    torchrun --nproc_per_node=2 train.py +step=gelu                               the same run by two processes
    python train.py +step=large_kernel step.name=kernel_13 model.kernel_size=13   a rung of your own

Any option of conf/ can be set as key=value; --cfg shows them all as they stand.
Started again, an interrupted run goes on where it was and a finished one is only shown.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from roadmap import runs
from roadmap.cli import command
from roadmap.config import compose as configuration
from roadmap.data.prepare import listed, prepare
from roadmap.signals import Interrupted
from roadmap.training.distributed import first_of_machine, of_environment


def main() -> int:
    """Return the exit code: 0 finished, 1 failed, 2 refused, 128 + signal interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options, and at most one +step=NAME")
    parser.add_argument("--cfg", action="store_true", help="print the configuration as it stands, and stop")
    parser.add_argument("--run", type=Path, metavar="DIR", help="carry out the run that is frozen in this directory")
    parser.add_argument("--child", action="store_true", help="end when standard input closes (for a sweep's processes)")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="for a process that has the directory"
    )
    arguments = parser.parse_args()
    if arguments.run:
        if arguments.overrides or arguments.cfg:
            parser.error("--run takes its options from the directory: no others, no --cfg")
        configuration.load(arguments.run / runs.CONFIG)
        if arguments.child:
            threading.Thread(target=end_with_parent, daemon=True).start()
        return carry_out(arguments.run, wait=arguments.wait)
    config = configuration.compose(arguments.overrides)
    if arguments.cfg:
        print(configuration.as_yaml(config), end="")
        return 0
    runs.refuse_mixing(config)
    data = None
    if first_of_machine():
        prepare(config.data)
        if runs.begun(runs.run_directory(config)):
            data = listed(config.data)
    directory = runs.prepare(config, data) if of_environment().first else runs.run_directory(config)
    return carry_out(directory, wait=0.0)


def carry_out(directory: Path, *, wait: float) -> int:
    """Train, and say how it ended."""
    from roadmap.training.diagnosis import NonFiniteLoss
    from roadmap.training.run import execute

    try:
        result = execute(directory, wait=wait)
    except Interrupted as interruption:
        print(f"interrupted: the same command goes on from here ({directory})", file=sys.stderr)
        return 128 + int(interruption.args[0])
    except NonFiniteLoss as error:
        print(f"failed: {error} ({directory / runs.FAILURE})", file=sys.stderr)
        return 1
    name = f"{result['step']} seed {result['seed']}"
    if of_environment().first:
        print(f"{name}: top-1 {result['top1']:.2f} % in {result['wall_seconds']:.0f} s ({directory})")
    return 0


def end_with_parent() -> None:
    """Wait until the process that holds the other end of standard input is gone, then ask this one to stop."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    command(main)

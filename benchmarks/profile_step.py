"""Print where the time of a rung's training step goes: its ten dearest operators, by torch's profiler.

    python benchmarks/profile_step.py gelu
    python benchmarks/profile_step.py gelu --regime resnet50 --batch 8 --precision bfloat16

Times are of the operator itself, without what it calls, of the quickest of six steps.
"""

import argparse

from rich.console import Console
from rich.table import Table

from roadmap.cli import command
from roadmap.config.steps import regimes


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", help="a rung")
    parser.add_argument("--regime", default="micro", choices=regimes(), help="size of network")
    parser.add_argument("--batch", type=int, default=256, help="images a step")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args()
    from benchmarks.measure import configured, our_step, profiled
    from roadmap.training.device import set_up

    size = {"batch": arguments.batch, "threads": arguments.threads}
    config = configured(arguments.step, arguments.regime, **size, words=[f"recipe.precision={arguments.precision}"])
    found, total = profiled(our_step(config, set_up(config)))
    title = (
        f"{arguments.step}, {arguments.regime} regime, batch {arguments.batch}, {arguments.precision}: {total:.0f} ms"
    )
    table = Table("operator", title=title)
    for heading in ("ms a step", "share", "calls"):
        table.add_column(heading, justify="right")
    for operator in found[:10]:
        table.add_row(operator.name, f"{operator.ms:.1f}", f"{operator.ms / total:.0%}", str(operator.calls))
    Console(highlight=False).print(table)
    return 0


if __name__ == "__main__":
    command(main)

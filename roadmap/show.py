"""Print one rung: what it changes, its block before and after, what it costs.

python -m roadmap.show                                     all rungs, a line each
python -m roadmap.show inverted_bottleneck
python -m roadmap.show inverted_bottleneck --regime micro
python -m roadmap.show mixup --ladder recipe                 a rung of the other ladder, which changes the recipe
"""

import argparse
from typing import Any

from rich.console import Console

from roadmap.cli import command
from roadmap.config.schema import Ladder, ModelConfig
from roadmap.config.steps import Step, find, model_config, regimes, steps
from roadmap.errors import ConfigError
from roadmap.networks.costs import cost
from roadmap.networks.ops import labels


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m roadmap.show",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", nargs="?", help="a rung; without it, the list of them")
    parser.add_argument("--regime", default="resnet50", choices=regimes())
    parser.add_argument(
        "--ladder", default="network", choices=[ladder.name for ladder in Ladder], help="what the rungs change"
    )
    arguments = parser.parse_args()
    ladder = Ladder[arguments.ladder]
    console = Console(highlight=False, soft_wrap=True)
    lines = describe(arguments.step, arguments.regime, ladder) if arguments.step else overview(arguments.regime, ladder)
    for line in lines:
        console.print(line, markup=False)
    return 0


def overview(regime: str, ladder: Ladder) -> list[str]:
    """All rungs of a regime, a line each."""
    return [
        f"{rung.name:22} {rung.title}{'' if rung.main_sequence else ' (side rung)'}" for rung in steps(regime, ladder)
    ]


def describe(name: str, regime: str, ladder: Ladder) -> list[str]:
    """One rung as lines of text."""
    for other in set(Ladder) - {ladder}:
        if name in [each.name for each in steps(regime, other)] and name not in [s.name for s in steps(regime, ladder)]:
            raise ConfigError(f"{name}: it is a rung of the other ladder: --ladder {other.name}")
    rung = find(name, regime, ladder)
    lines = [
        f"{rung.title} ({name}), section {rung.section or '-'} of the paper, regime {regime}",
        "",
        *delta(rung, ladder),
    ]
    if ladder is Ladder.recipe:
        return lines
    for title, step in (("before", rung.parent), ("after", name)):
        if step:
            lines += ["", f"{title} ({step})", *network(model_config(step, regime))]
    return lines


def delta(rung: Step, ladder: Ladder) -> list[str]:
    """What a rung changes, and the file that says so."""
    if not rung.parent:
        return ["the start of the ladder: conf/model/resnet.yaml, conf/recipe/original.yaml"]
    changes = [f"  {key}: {_short(old)} -> {_short(new)}" for key, (old, new) in sorted(rung.changes.items())]
    return [
        f"changes over {rung.parent} (conf/{ladder.value}/{rung.name}.yaml):",
        *(changes or ["  nothing in this regime"]),
    ]


def network(model: ModelConfig) -> list[str]:
    """The ops of a block, with the channels of the first stage; and the cost of the network on ImageNet."""
    size = cost(model)
    return [
        "  block  " + " → ".join(labels(model, "block")),
        f"  cost   {size.params:,} parameters, {size.macs:,} multiply-adds (224x224, 1000 classes)",
    ]


def _short(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) and value and isinstance(value[0], str) else str(value)


if __name__ == "__main__":
    command(main)

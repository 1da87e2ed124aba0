"""The command that shows a step: its changes, its block before and after, and its cost."""

from roadmap import cli
from roadmap.config.checks import spell
from roadmap.config.designs import PREFIX, listing
from roadmap.config.schema import Design, Ladder, ModelConfig
from roadmap.config.steps import Step, find, model_config, regimes, steps
from roadmap.errors import ConfigError
from roadmap.networks.ops import labels


def main(words: list[str]) -> int:
    """Show one step: its changes, its block before and after, its cost; without a step, list them all.

    python scripts/show.py
    python scripts/show.py step=inverted_bottleneck regime=micro
    python scripts/show.py step=mixup ladder=recipe     a step of the other ladder, which changes the recipe
    python scripts/show.py design=leave_one_out         the variants of a design: leave_one_out or add_one
    """
    defaults = {"step": "", "regime": "resnet50", "ladder": "network", "design": "", "recipe_step": ""}
    chosen = cli.options([word.removeprefix("+") for word in words], defaults)
    if chosen["recipe_step"]:
        chosen |= {"step": chosen["recipe_step"], "ladder": "recipe"}
    regime = cli.choice(chosen, "regime", regimes())
    ladder = Ladder[cli.choice(chosen, "ladder", [each.name for each in Ladder])]
    if chosen["design"]:
        print(listing(Design(cli.choice(chosen, "design", [each.value for each in PREFIX])), regime), end="")
    else:
        lines = [f"{s.name:22} {s.title}{'' if s.main_sequence else ' (side step)'}" for s in steps(regime, ladder)]
        print("\n".join(describe(chosen["step"], regime, ladder) if chosen["step"] else lines))
    return 0


def describe(name: str, regime: str, ladder: Ladder) -> list[str]:
    """One step as lines of text (ConfigError: an unknown step, or one of the other ladder)."""
    names = {each: [step.name for step in steps(regime, each)] for each in Ladder}
    for other in Ladder:
        if name in names[other] and name not in names[ladder]:
            raise ConfigError(f"step={name}: it is a step of the other ladder: add ladder={other.name}")
    step = find(name, regime, ladder)
    title = f"{step.title} ({name}), section {step.section or '-'} of the paper, regime {regime}"
    lines = [title, "", *_changes(step, ladder)]
    if ladder is Ladder.network:
        for when, shown in (("before", step.parent), ("after", name)):
            lines += ["", f"{when} ({shown})", *network(model_config(shown, regime))] if shown else []
    return lines


def _changes(step: Step, ladder: Ladder) -> list[str]:
    if not step.parent:
        return ["the start of the ladder: conf/model/resnet.yaml, conf/recipe/original.yaml"]
    changed = [f"  {key}: {spell(old)} -> {spell(new)}" for key, (old, new) in sorted(step.changes.items())]
    file = f"conf/{ladder.value}/{step.name}.yaml"
    return [f"changes over {step.parent} ({file}):", *(changed or ["  nothing in this regime"])]


def network(model: ModelConfig) -> list[str]:
    """The ops of a block, with the channels of the first stage, and the cost of the network on ImageNet."""
    from roadmap.networks.costs import cost

    found = cost(model)
    return [
        "  block  " + " → ".join(labels(model, "block")),
        f"  cost   {found.params:,} parameters, {found.macs:,} multiply-adds (224x224, 1000 classes)",
    ]

"""The command that shows a step: its changes, its block before and after, and its cost."""

from roadmap import cli
from roadmap.config.aliases import renamed_override
from roadmap.config.checks import spell
from roadmap.config.designs import PREFIX, listing
from roadmap.config.schema import Design, ModelConfig, StudyConfig
from roadmap.config.step_files import ladders
from roadmap.config.steps import Step, find, model_config, regimes, steps
from roadmap.networks.ops import labels


def main(words: list[str]) -> int:
    """Show one step: its changes, its block before and after, its cost; without a step, list them all.

    python scripts/show.py
    python scripts/show.py step=inverted_bottleneck regime=micro
    python scripts/show.py step=mixup ladder=recipe     a step of another ladder, a folder of conf/ladder
    python scripts/show.py design=leave_one_out         the variants of a design: leave_one_out or add_one
    """
    defaults = {"step": "", "regime": "", "ladder": StudyConfig.ladder, "design": ""}
    words = [renamed_override(word).removeprefix("+").removeprefix("study.") for word in words]
    chosen = cli.options(words, defaults)
    ladder = cli.choice(chosen, "ladder", ladders())
    regime = cli.choice(chosen, "regime", regimes()) if chosen["regime"] else None
    if chosen["design"]:
        print(listing(Design(cli.choice(chosen, "design", [each.value for each in PREFIX])), regime, ladder), end="")
    else:
        lines = [f"{s.name:22} {s.title}{'' if s.main_sequence else ' (side step)'}" for s in steps(regime, ladder)]
        print("\n".join(describe(chosen["step"], regime, ladder) if chosen["step"] else lines))
    return 0


def describe(name: str, regime: str | None = None, ladder: str = StudyConfig.ladder) -> list[str]:
    """One step as lines of text (ConfigError: an unknown step, or one of another ladder)."""
    step = find(name, regime, ladder)
    section = f"section {step.section} of the paper, " if step.section not in ("", "own") else ""
    lines = [f"{step.title} ({name}), {section}regime {step.regime}", "", *_changes(step)]
    shown = {"before": step.parent, "after": name}
    models = {when: model_config(each, step.regime, ladder) for when, each in shown.items() if each}
    if models.get("before") == models["after"]:
        return [*lines, "", "before and after", *network(models["after"])]
    for when, model in models.items():
        lines += ["", f"{when} ({shown[when]})", *network(model)]
    return lines


def _changes(step: Step) -> list[str]:
    if not step.parent:
        return [f"the start of the ladder: {step.file}"]
    changed = [f"  {key}: {spell(old)} -> {spell(new)}" for key, (old, new) in sorted(step.changes.items())]
    return [f"changes over {step.parent} ({step.file}):", *(changed or ["  nothing in this regime"])]


def network(model: ModelConfig) -> list[str]:
    """The ops of a block, with the channels of the first stage, and the cost of the network on ImageNet."""
    from roadmap.networks.costs import cost

    found = cost(model)
    return [
        "  block  " + " → ".join(labels(model, "block")),
        f"  cost   {found.params:,} parameters, {found.macs:,} multiply-adds (224x224, 1000 classes)",
    ]

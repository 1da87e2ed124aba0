"""The command that shows a step: its changes, its block before and after, and its cost."""

from collections.abc import Mapping
from typing import Any

from roadmap import cli
from roadmap.config.aliases import renamed_override
from roadmap.config.compose import compose, proposed_name
from roadmap.config.conf import to_dict
from roadmap.config.designs import PREFIX, listing
from roadmap.config.identity import difference, under
from roadmap.config.schema import Design, ModelConfig, StudyConfig
from roadmap.config.step_files import PARTS, ladders, read_ladder
from roadmap.config.steps import as_published, find, model_config, published, regimes, steps
from roadmap.errors import require
from roadmap.networks.ops import labels
from roadmap.numbers import written

OWN = ("step.name", "step.parent", "step.title", "step.section", "step.group", *PARTS)
"""Options that make a step of one's own."""


def main(words: list[str]) -> int:
    """Show one step: its changes, its block before and after, its cost; without a step, list them all.

    python scripts/show.py
    python scripts/show.py step=inverted_bottleneck regime=micro
    python scripts/show.py step=gelu study=smoke        in the regime and the ladder of a study
    python scripts/show.py step=mixup ladder=recipe     a step of another ladder, a folder of conf/ladder
    python scripts/show.py +step=move_up_depthwise model.kernel_size=13     a step of your own, as train.py has it
    python scripts/show.py design=leave_one_out         the variants of a design: leave_one_out or add_one
    """
    words = [renamed_override(word).removeprefix("+") for word in words]
    words = [
        word.removeprefix("study.") if word.startswith(("study.ladder=", "study.design=")) else word for word in words
    ]
    own = [word for word in words if under(word.partition("=")[0], OWN)]
    defaults = {"step": "", "regime": "", "ladder": StudyConfig.ladder, "design": ""}
    given, of_study = cli.split([word for word in words if word not in own], defaults)
    for word in of_study:
        require(not word.startswith("regime."), *word.partition("=")[::2], "regime=NAME, a file of conf/regime")
    if named := [word for word in of_study if word.partition("=")[0].partition(".")[0] not in cli.SWEEP_KEYS]:
        study = compose(named)  # refuses a misspelt option
        defaults |= {"regime": study.regime.name, "ladder": study.study.ladder}
    chosen = cli.options(given, defaults)
    ladder = cli.choice(chosen, "ladder", ladders())
    regime = cli.choice(chosen, "regime", regimes()) if chosen["regime"] else None
    if own:
        print("\n".join(describe_own(chosen["step"], own, regime, ladder)))
        return 0
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
    title = f"{step.title} ({name}), {section}regime {step.regime}"
    own = model_config(name, step.regime, ladder)
    if step.parent is None:
        return [title, "", f"the start of the ladder: {step.file}", *_networks({name: own})]
    before = model_config(step.parent, step.regime, ladder)
    changes = _changes(f"{step.parent} ({step.file})", step.changes)
    return [title, "", *changes, *_networks({step.parent: before, name: own})]


def describe_own(base: str, own: list[str], regime: str | None, ladder: str) -> list[str]:
    """A step of one's own, made from `base` by overrides, as lines of text (ConfigError: an illegal one)."""
    made_from = find(base or None, regime, ladder)
    words = [*as_published(made_from), *own]
    if not any(word.startswith("step.name=") for word in own):
        changed = dict(word.split("=", 1) for word in own if not word.startswith("step."))
        words.append(f"step.name={proposed_name(changed, read_ladder(ladder))}")
    config = compose(words)
    parent = find(config.step.parent, made_from.regime, ladder)
    changes = difference(published(parent), to_dict(config))
    kept = {key: pair for key, pair in changes.items() if under(key, tuple(PARTS)) and key != "recipe.name"}
    title = f"{config.step.title} ({config.step.name}), regime {made_from.regime}"
    before = model_config(parent.name, parent.regime, ladder)
    return [title, "", *_changes(parent.name, kept), *_networks({parent.name: before, config.step.name: config.model})]


def _changes(parent: str, changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    changed = [f"  {key}: {written(old)} -> {written(new)}" for key, (old, new) in sorted(changes.items())]
    return [f"changes over {parent}:", *(changed or ["  nothing in this regime"])]


def _networks(models: Mapping[str, ModelConfig]) -> list[str]:
    """The networks of a step's parent and of the step, once if they are the same."""
    names, (first, *others) = list(models), models.values()
    if others == [first]:
        return ["", "before and after", *network(first)]
    heads = [f"{when} ({name})" for when, name in zip(("before", "after")[-len(names) :], names, strict=True)]
    return [line for head, model in zip(heads, models.values(), strict=True) for line in ("", head, *network(model))]


def network(model: ModelConfig) -> list[str]:
    """The ops of a block, with the channels of the first stage, and the cost of the network on ImageNet."""
    from roadmap.networks.costs import cost

    found = cost(model)
    return [
        "  block  " + " → ".join(labels(model, "block")),
        f"  cost   {found.params:,} parameters, {found.macs:,} multiply-adds (224x224, 1000 classes)",
    ]

"""Designs: the end of the main sequence without one change each, and its start with one change alone.

Variants follow from the steps' own changes (`roadmap.config.edits`): all changes of the main sequence but one are made
at its start, or only one. Needs neither Hydra nor torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import Any

from roadmap.config.checks import check_model, spell
from roadmap.config.edits import carry
from roadmap.config.schema import Design, ModelConfig
from roadmap.config.steps import Step, model_config, steps
from roadmap.errors import ConfigError

PREFIX = {Design.leave_one_out: "without", Design.add_one: "only"}
SIGN = {Design.leave_one_out: "−", Design.add_one: "+"}
Models = Callable[[str], ModelConfig]
"""The network of a step."""
NOTHING = "it changes nothing there"


@dataclass(frozen=True)
class Variant:
    """A network beside the ladder, or the reason why it cannot be built."""

    step: Step
    """The step that is left out, or made alone."""
    name: str
    title: str
    model: ModelConfig | None
    recipe: str
    """Name of a published recipe."""
    reason: str = ""


def base_of(design: Design, ladder: Sequence[Step]) -> Step:
    """The step that variants are compared with: the end of the main sequence, or its start."""
    main = [step for step in ladder if step.main_sequence]
    return main[-1] if design is Design.leave_one_out else main[0]


def changes_of(design: Design, ladder: Sequence[Step]) -> list[Step]:
    """The steps that are left out, those of the main sequence, or made alone, which includes side steps."""
    return [step for step in ladder if step.parent and (step.main_sequence or design is Design.add_one)]


@cache
def variants(design: Design, regime: str = "resnet50") -> list[Variant]:
    """All variants of a design in the published size of a regime, those that cannot be built with the reason."""
    ladder, models = steps(regime), cache(partial(model_config, regime=regime))
    return [variant(design, step, ladder, models) for step in changes_of(design, ladder)]


def variant(design: Design, of: Step, ladder: Sequence[Step], models: Models) -> Variant:
    """The variant that leaves a step out, or makes it alone."""
    base, main = base_of(design, ladder), [step for step in ladder if step.main_sequence]
    made = [of] if design is Design.add_one else [step for step in main[1:] if step is not of]
    model, recipe, whole = models(main[0].name), "original", "original"
    name, title = f"{PREFIX[design]}_{of.name}", f"{SIGN[design]} {of.title}"
    for step in main[1:] if design is Design.leave_one_out else []:
        whole = step.changes.get("recipe", (whole, whole))[1]
    try:
        for step in made:
            model = made_on(model, step, models)
            recipe = step.changes.get("recipe", (recipe, recipe))[1]
        check_model(model)
    except ConfigError as error:
        return Variant(of, name, title, None, recipe, str(error))
    same = recipe == whole and model == models(base.name)
    return Variant(of, name, title, None if same else model, recipe, NOTHING if same else "")


def made_on(model: ModelConfig, step: Step, models: Models) -> ModelConfig:
    """A network after a step: its numbers are set, and its changes of lists carried over.

    Raises:
        ConfigError: a change cannot be carried over to this network.
    """
    before, after, changed = models(step.parent or ""), models(step.name), {}
    for field in fields(ModelConfig):
        old, new, here = (getattr(each, field.name) for each in (before, after, model))
        if not _ops(old, new, here):
            changed[field.name] = new if f"model.{field.name}" in step.declares else here
        elif old != new:
            try:
                changed[field.name] = carry(old, new, here)
            except ConfigError as error:
                raise ConfigError(f"{step.name}: model.{field.name}={spell(here)}: {error}") from error
    return replace(model, **changed)


def difference_of(model: ModelConfig, base: ModelConfig) -> dict[str, Any]:
    """The fields of `ModelConfig` in which a network differs from its base, with their values."""
    pairs = {field.name: (getattr(model, field.name), getattr(base, field.name)) for field in fields(ModelConfig)}
    return {name: here for name, (here, there) in pairs.items() if here != there}


def listing(design: Design, regime: str = "resnet50") -> str:
    """All variants of a design as a Markdown table: how each differs from its base, or why it cannot be built."""
    base = base_of(design, steps(regime))
    network = model_config(base.name, regime)
    lines = [f"| variant | differs from `{base.name}` in |", "|---|---|"]
    for each in variants(design, regime):
        changed = difference_of(each.model, network) if each.model else {}
        values = [f"`{key}={_spelled(value)}`" for key, value in changed.items()]
        if each.step.changes.get("recipe"):
            values.append(f"`recipe={each.recipe}`")
        lines.append(f"| `{each.name}` | {' '.join(values) or f'cannot be built: {each.reason}'} |")
    return "\n".join(lines) + "\n"


def _spelled(value: Any) -> str:
    return spell(value) if _ops(value) else str(value).replace(" ", "").lower()


def _ops(*values: Any) -> bool:
    """Whether all are lists of ops."""
    return all(isinstance(value, list) and all(isinstance(name, str) for name in value) for value in values)

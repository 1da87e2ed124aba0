"""Beyond the path: its end without each change, its start with each change alone.

What a variant is follows from the steps' own changes (`roadmap.config.edits`): the main sequence is
walked again without one of them, or one of them is made at the start. Needs neither Hydra nor torch.
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
"""What network a rung is."""
NOTHING = "nothing changes by it there"


@dataclass(frozen=True)
class Variant:
    """A network that lies on no ladder, or the reason why there is none."""

    step: Step
    """The change that is left out, or made alone."""
    name: str
    title: str
    model: ModelConfig | None
    recipe: str
    """Name of a recipe as published."""
    reason: str = ""
    """Why it cannot be, where it cannot."""


def base_of(design: Design, rungs: Sequence[Step]) -> Step:
    """The rung that a design's variants are compared with: the end of the path, or its start."""
    path = [rung for rung in rungs if rung.main_sequence]
    return path[-1] if design is Design.leave_one_out else path[0]


def changes_of(design: Design, rungs: Sequence[Step]) -> list[Step]:
    """The steps whose changes are left out or made alone: of the path those, and beside it as well where it can be."""
    return [rung for rung in rungs if rung.parent and (rung.main_sequence or design is Design.add_one)]


@cache
def variants(design: Design, regime: str = "resnet50") -> list[Variant]:
    """All variants of a design, those that cannot be with the reason, in the published sizes of a regime."""
    rungs, models = steps(regime), cache(partial(model_config, regime=regime))
    return [variant(design, rung, rungs, models) for rung in changes_of(design, rungs)]


def variant(design: Design, of: Step, rungs: Sequence[Step], models: Models) -> Variant:
    """A step left out or made alone."""
    base, path = base_of(design, rungs), [rung for rung in rungs if rung.main_sequence]
    made = [of] if design is Design.add_one else [rung for rung in path[1:] if rung is not of]
    model, recipe, whole = models(path[0].name), "original", "original"
    name, title = f"{PREFIX[design]}_{of.name}", f"{SIGN[design]} {of.title}"
    for rung in path[1:] if design is Design.leave_one_out else []:
        whole = rung.changes.get("recipe", (whole, whole))[1]
    try:
        for rung in made:
            model = made_on(model, rung, models)
            recipe = rung.changes.get("recipe", (recipe, recipe))[1]
        check_model(model)
    except ConfigError as error:
        return Variant(of, name, title, None, recipe, str(error))
    same = recipe == whole and model == models(base.name)
    return Variant(of, name, title, None if same else model, recipe, NOTHING if same else "")


def made_on(model: ModelConfig, step: Step, models: Models) -> ModelConfig:
    """A network after a step: numbers as the step sets them, lists changed as it changes its parent's.

    Raises:
        ConfigError: its change cannot be carried over to this network.
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
    """What is other in a network than in another one, by its names in a model's configuration."""
    pairs = {field.name: (getattr(model, field.name), getattr(base, field.name)) for field in fields(ModelConfig)}
    return {name: here for name, (here, there) in pairs.items() if here != there}


def listing(design: Design, regime: str = "resnet50") -> str:
    """All variants of a design as a Markdown table: what each has other than its base, or why it cannot be."""
    base = base_of(design, steps(regime))
    network = model_config(base.name, regime)
    lines = [f"| variant | differs from `{base.name}` in |", "|---|---|"]
    for each in variants(design, regime):
        told = [] if each.model is None else [f"{k}={_spelt(v)}" for k, v in difference_of(each.model, network).items()]
        if each.step.changes.get("recipe"):
            told.append(f"recipe={each.recipe}")
        lines.append(f"| `{each.name}` | {' '.join(f'`{word}`' for word in told) or f'cannot be: {each.reason}'} |")
    return "\n".join(lines) + "\n"


def _spelt(value: Any) -> str:
    if _ops(value):
        return spell(value)
    return str(value).replace(" ", "").lower()


def _ops(*values: Any) -> bool:
    """Whether all are lists of ops."""
    return all(isinstance(value, list) and all(isinstance(name, str) for name in value) for value in values)

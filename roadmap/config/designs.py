"""Designs beside the ladder: its end without each change (leave_one_out), its start with each change alone (add_one).

A variant follows from the changes of the steps: the main sequence is walked again without one of them, or one of them
is made at the start. A change of a list of ops is carried over layer by layer, each with the ops that belong to it: a
step that removes the act after a conv removes it from that conv, wherever the conv stands in another list.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import Any, NamedTuple

from roadmap.config.checks import check_model, spell
from roadmap.config.schema import Design, ModelConfig, StudyConfig
from roadmap.config.steps import Step, model_config, published, steps
from roadmap.errors import ConfigError
from roadmap.networks.ops import OPS

PREFIX = {Design.leave_one_out: "without", Design.add_one: "only"}
SIGN = {Design.leave_one_out: "−", Design.add_one: "+"}
Models = Callable[[str], ModelConfig]  # from the name of a step to its network
NOTHING = "it changes nothing there"
START = "start"  # key of the ops that stand before the first layer of a list


@dataclass(frozen=True)
class Variant:
    """A network that is no step of the ladder, or the reason why it cannot be built."""

    step: Step  # the step that is left out or made alone
    name: str
    title: str
    model: ModelConfig | None
    recipe: str  # name of a published recipe
    reason: str = ""


def base_of(design: Design, ladder: Sequence[Step]) -> Step:
    """The step that the variants are compared with: the end of the main sequence, or its start."""
    main = _main_sequence(ladder)
    return main[-1] if design is Design.leave_one_out else main[0]


def changes_of(design: Design, ladder: Sequence[Step]) -> list[Step]:
    """The steps that are left out (those of the main sequence) or made alone (all)."""
    return [step for step in ladder if step.parent and (step.main_sequence or design is Design.add_one)]


@cache
def variants(design: Design, regime: str | None = None, ladder: str = StudyConfig.ladder) -> list[Variant]:
    """All variants of a design in the published sizes of a regime."""
    known, models = steps(regime, ladder), cache(partial(model_config, regime=regime, ladder=ladder))
    return [variant(design, step, known, models) for step in changes_of(design, known)]


def variant(design: Design, left: Step, ladder: Sequence[Step], models: Models) -> Variant:
    """The variant of one step."""
    base, (start, *rest) = base_of(design, ladder), _main_sequence(ladder)
    made = [left] if design is Design.add_one else [step for step in rest if step is not left]
    name, title = f"{PREFIX[design]}_{left.name}", f"{SIGN[design]} {left.title}"
    model, recipe = models(start.name), _recipe_after(start, made)
    if other := [step.name for step in made if any(key.startswith("recipe.") for key in step.declares)]:
        return Variant(left, name, title, None, recipe, f"{other[0]} changes options of the recipe")
    try:
        for step in made:
            model = made_on(model, step, models)
        check_model(model)
    except ConfigError as error:
        return Variant(left, name, title, None, recipe, str(error))
    whole = _recipe_after(start, rest if design is Design.leave_one_out else [])
    same = recipe == whole and model == models(base.name)
    return Variant(left, name, title, None if same else model, recipe, NOTHING if same else "")


def _main_sequence(ladder: Sequence[Step]) -> list[Step]:
    return [step for step in ladder if step.main_sequence]


def _recipe_after(start: Step, made: Sequence[Step]) -> str:
    """Name of the recipe after some steps."""
    recipe: str = published(start)["recipe"]["name"]
    for step in made:
        recipe = step.changes.get("recipe", (recipe, recipe))[1]
    return recipe


def made_on(model: ModelConfig, step: Step, models: Models) -> ModelConfig:
    """A network after a step: numbers as the step sets them, lists changed as it changes those of its parent."""
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
    """The options of a network that differ from those of another."""
    pairs = {field.name: (getattr(model, field.name), getattr(base, field.name)) for field in fields(ModelConfig)}
    return {name: here for name, (here, there) in pairs.items() if here != there}


def listing(design: Design, regime: str | None = None, ladder: str = StudyConfig.ladder) -> str:
    """All variants of a design as a Markdown table: their difference from the base, or why they cannot be built."""
    base = base_of(design, steps(regime, ladder))
    network = model_config(base.name, regime, ladder)
    lines = [f"| variant | differs from `{base.name}` in |", "|---|---|"]
    for each in variants(design, regime, ladder):
        differs = difference_of(each.model, network) if each.model else {}
        spelled = {key: re.sub("[ ']", "", str(value)).lower() for key, value in differs.items()}
        words = [f"`{key}={value}`" for key, value in spelled.items()]
        if each.step.changes.get("recipe"):
            words.append(f"`recipe={each.recipe}`")
        lines.append(f"| `{each.name}` | {' '.join(words) or f'cannot be built: {each.reason}'} |")
    return "\n".join(lines) + "\n"


def _ops(*values: Any) -> bool:
    """Whether all values are lists of ops."""
    return all(isinstance(value, list) and all(isinstance(name, str) for name in value) for value in values)


class Layer(NamedTuple):
    """An op with those that belong to it."""

    op: str | None  # None at the start
    after: tuple[str, ...]


def layers(ops: Sequence[str]) -> dict[str, Layer]:
    """Layers of a list, in order; keys are the ops' roles or names, numbered if they repeat."""
    found, seen, key = {START: Layer(None, ())}, Counter[str](), START
    for name in ops:
        if OPS[name].follows:
            found[key] = Layer(found[key].op, (*found[key].after, name))
            continue
        role = OPS[name].role or name
        seen[role] += 1
        key = role if seen[role] == 1 else f"{role} {seen[role]}"
        found[key] = Layer(name, ())
    return found


def carry(before: Sequence[str], after: Sequence[str], onto: Sequence[str]) -> list[str]:
    """Apply the change from `before` to `after` to `onto`; parts of it that `onto` already has are left alone.

    A ConfigError if it needs a layer that `onto` lacks, or moves layers that stand in another order there.
    """
    old, new, here = layers(before), layers(after), layers(onto)
    for key in old.keys() - new.keys():
        here.pop(key, None)
    for key, layer in new.items():
        if layer == old.get(key):
            continue
        if key in old and key not in here:
            raise ConfigError(f"it changes the {key}, which is not there")
        here[key] = _changed(old.get(key, Layer(layer.op, ())), layer, here.get(key, Layer(layer.op, ())))
    order = _order(list(old), list(new), list(here))
    return [name for key in order for name in (here[key].op, *here[key].after) if name is not None]


def _changed(old: Layer, new: Layer, here: Layer) -> Layer:
    if old.op != new.op and here.op not in (old.op, new.op):
        raise ConfigError(f"it replaces {old.op} by {new.op}, but there is {here.op}")
    op = new.op if old.op != new.op else here.op
    after = [name for name in here.after if name in new.after or name not in old.after]
    for added in [name for name in new.after if name not in old.after and name not in after]:
        behind = new.after[new.after.index(added) + 1 :]
        place = next((i for i, name in enumerate(after) if name in behind), len(after))
        after.insert(place, added)
    return Layer(op, tuple(after))


def _order(old: list[str], new: list[str], here: list[str]) -> list[str]:
    """The keys of `here` in order, with its new ones placed as in `new`."""
    kept, moved = _shared(old, new, here), _shared(new, old, here)
    there = [key for key in here if key in kept]
    if kept != moved and there not in (kept, moved):
        raise ConfigError(f"it moves {', '.join(kept)}, which are in another order: {', '.join(there)}")
    if kept != moved:
        in_turn = iter(moved)
        here = [next(in_turn) if key in kept else key for key in here]
    order = [key for key in here if key not in new or key in old]
    for key in [key for key in new if key not in order and key in here]:
        front = next((other for other in reversed(new[: new.index(key)]) if other in order), None)
        order.insert(order.index(front) + 1 if front is not None else 0, key)
    return order


def _shared(order: Iterable[str], *others: Sequence[str]) -> list[str]:
    return [key for key in order if all(key in other for other in others)]

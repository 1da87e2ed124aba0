"""Apply a change of a list of ops to another list.

A list is read as layers, each with the ops that belong to it: a step that removes the act after a conv removes it from
that conv wherever the conv stands in another list. So an edit means the same in a network that lacks other edits.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roadmap.errors import ConfigError
from roadmap.networks.ops import OPS

START = "start"
"""Key of the ops that stand before the first layer."""


class Layer(NamedTuple):
    """An op with those that belong to it."""

    op: str | None
    """None at the start."""
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

    Raises:
        ConfigError: the change needs a layer that `onto` lacks, or moves layers that stand in another order there.
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

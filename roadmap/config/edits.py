"""A change of a list of words, carried over to another list.

A list is read as layers, each with the words that follow it: a step that takes the act behind a conv away says so of
that conv, wherever another list has it. So a change means the same in a network in which other changes are missing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roadmap.config.checks import SPATIAL
from roadmap.config.schema import Op
from roadmap.errors import ConfigError

FOLLOWING = (Op.norm, Op.act, Op.layer_scale)
"""Words that belong to the layer before them."""
ROLES = {**dict.fromkeys(SPATIAL, "spatial op"), **dict.fromkeys((Op.stem_conv, Op.patchify), "stem's conv")}
"""Words of which a list has one or the other: they stand for each other."""
START = "start"
"""What follows no layer follows this."""


class Layer(NamedTuple):
    """A word with those that follow it."""

    word: Op | None
    """None at the start."""
    after: tuple[Op, ...]


def layers(words: Sequence[Op]) -> dict[str, Layer]:
    """Words as layers by what each is in its list, in order."""
    found, seen, role = {START: Layer(None, ())}, Counter[str](), START
    for word in words:
        if word in FOLLOWING:
            found[role] = Layer(found[role].word, (*found[role].after, word))
            continue
        name = ROLES.get(word, word.name)
        seen[name] += 1
        role = name if seen[name] == 1 else f"{name} {seen[name]}"
        found[role] = Layer(word, ())
    return found


def carry(before: Sequence[Op], after: Sequence[Op], onto: Sequence[Op]) -> list[Op]:
    """`onto` with the change that makes `after` of `before`; what is as the change has it already stays.

    Raises:
        ConfigError: the change speaks of a layer that `onto` does not have, or orders layers that others have ordered.
    """
    old, new, here = layers(before), layers(after), layers(onto)
    for role in old.keys() - new.keys():
        here.pop(role, None)
    for role, layer in new.items():
        if layer == old.get(role):
            continue
        if role in old and role not in here:
            raise ConfigError(f"it changes the {role}, which is not there")
        here[role] = _changed(old.get(role, Layer(layer.word, ())), layer, here.get(role, Layer(layer.word, ())))
    order = _order(list(old), list(new), list(here))
    return [word for role in order for word in (here[role].word, *here[role].after) if word is not None]


def _changed(old: Layer, new: Layer, here: Layer) -> Layer:
    if old.word is not new.word and here.word not in (old.word, new.word):
        raise ConfigError(f"it makes {_name(new.word)} of {_name(old.word)}, where there is {_name(here.word)}")
    word = new.word if old.word is not new.word else here.word
    after = [w for w in here.after if w in new.after or w not in old.after]
    for added in [w for w in new.after if w not in old.after and w not in after]:
        behind = new.after[new.after.index(added) + 1 :]
        place = next((i for i, w in enumerate(after) if w in behind), len(after))
        after.insert(place, added)
    return Layer(word, tuple(after))


def _order(old: list[str], new: list[str], here: list[str]) -> list[str]:
    """The roles of `here` in order, with those that are new to it placed as in `new`."""
    kept, moved = _shared(old, new, here), _shared(new, old, here)
    there = [role for role in here if role in kept]
    if kept != moved and there not in (kept, moved):
        raise ConfigError(f"it moves {', '.join(kept)}, which are in another order: {', '.join(there)}")
    if kept != moved:
        in_turn = iter(moved)
        here = [next(in_turn) if role in kept else role for role in here]
    order = [role for role in here if role not in new or role in old]
    for role in [role for role in new if role not in order and role in here]:
        front = next((r for r in reversed(new[: new.index(role)]) if r in order), None)
        order.insert(order.index(front) + 1 if front is not None else 0, role)
    return order


def _shared(order: Iterable[str], *others: Sequence[str]) -> list[str]:
    return [role for role in order if all(role in other for other in others)]


def _name(word: Op | None) -> str:
    return "nothing" if word is None else word.name

"""What plain data may be: types, finite ranges of numbers and forms of texts, stated beside each field.

A field says it as `epochs: Annotated[int, Range(1, 100_000)]`. `conform` is the one check, of configurations and of the
files that a run leaves.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import EnumType
from functools import cache
from itertools import repeat
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from roadmap.errors import PLAIN, PLAIN_NAME, ConfigError, one_line, require

LARGEST = 2**63 - 1
WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; without them if `above` or `below` says so."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        inside = self.low <= value <= self.high
        return inside and not (self.above and value == self.low) and not (self.below and value == self.high)

    def __str__(self) -> str:
        if not self.above and not self.below:
            return f"{_plain(self.low)} to {_plain(self.high)}"
        low = f"more than {_plain(self.low)}" if self.above else f"at least {_plain(self.low)}"
        return f"{low}, {'below' if self.below else 'up to'} {_plain(self.high)}"


@dataclass(frozen=True)
class Text:
    """Texts of a form, in the words of a refusal."""

    form: re.Pattern[str]
    words: str

    def holds(self, value: str) -> bool:
        return bool(self.form.fullmatch(value)) and value.isprintable()

    def __str__(self) -> str:
        return self.words


Name = Annotated[str, Text(PLAIN_NAME, PLAIN)]
Line = Annotated[str, Text(re.compile(r".{0,1000}"), "one line without control characters")]
Share = Annotated[float, Range(0, 1)]


def conform(value: Any, kind: Any, key: str) -> None:
    """Refuse plain data that is not of a kind, by a ConfigError that names key, value and what is allowed.

    A kind is a type as a dataclass states it. Numbers are finite, an enum is given by name, a dataclass by a mapping
    with every field that has no default; it may have others.
    """
    allowed = _alternatives(kind)
    matching = [each for each in allowed if _of_type(value, each)]
    require(bool(matching), key, _shown(value), " or ".join(map(_spelled, allowed)))
    inner, rules = bare(matching[0])
    for rule in rules:
        require(rule.holds(value), key, _shown(value), str(rule))
    if is_dataclass(inner):
        for name, (hint, needed) in _fields(inner).items():
            if name in value:
                conform(value[name], hint, f"{key}.{name}".lstrip("."))
            elif needed:
                raise ConfigError(f"{key}.{name}".lstrip(".") + " is missing")
    elif get_origin(inner) in (list, tuple):
        first, *others = get_args(inner)
        kinds = repeat(first) if others in ([], [...]) else (first, *others)
        for each, of in zip(value, kinds, strict=False):
            conform(each, of, key)
    elif get_origin(inner) is dict:
        names, values = get_args(inner)
        for name, each in value.items():
            conform(name, names, f"{key}: a key".lstrip(": "))
            conform(each, values, f"{key}.{name}")


@cache
def options(kind: type) -> dict[str, Any]:
    """The kind of every option of a dataclass, by dotted key."""
    found: dict[str, Any] = {}
    for name, (hint, _) in _fields(kind).items():
        found |= {f"{name}.{key}": each for key, each in options(hint).items()} if is_dataclass(hint) else {name: hint}
    return found


def is_number(value: Any) -> bool:
    """Whether a value is a number, or a list of numbers."""
    return all(map(is_number, value)) if isinstance(value, list) else type(value) in (int, float)


def _of_type(value: Any, kind: Any) -> bool:
    kind, _ = bare(kind)
    if kind is Any:
        return True
    if kind is type(None):
        return value is None
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e308
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    if isinstance(kind, EnumType):
        return isinstance(value, str) and value in kind.__members__
    if is_dataclass(kind) or get_origin(kind) is dict:
        return isinstance(value, Mapping)
    if get_origin(kind) in (list, tuple):
        return isinstance(value, list | tuple)
    return type(value) is kind


def bare(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A kind without its rules, and its rules."""
    if get_origin(kind) is Annotated:
        kind, *rules = get_args(kind)
        return kind, tuple(rules)
    return kind, ()


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The kind of each field, and whether it is needed: it has no default, or only that of a missing value."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: (hints[field.name], field.default_factory is MISSING and field.default in (MISSING, "???"))
        for field in fields(kind)
    }


def _spelled(kind: Any) -> str:
    kind, rules = bare(kind)
    if isinstance(kind, EnumType):
        return f"one of {' '.join(kind.__members__)}"
    if get_origin(kind) in (list, tuple):
        return f"a list: {_spelled(get_args(kind)[0])}"
    word = "null" if kind is type(None) else WORDS.get(kind, "named values")
    return ", ".join([word, *map(str, rules)])


def _shown(value: Any) -> str:
    text = one_line("null" if value is None else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) or abs(number) > 1e15 else f"{number}"

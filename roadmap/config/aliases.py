"""Old names of options, result keys and table columns, and their names now. Files are written in the new names."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

CONFIG = {
    "study.road": "study.ladder",
    "regime.stage_ratio": "regime.steps.stage_ratio",
    "regime.increase_width": "regime.steps.increase_width",
}
"""Dotted keys of a configuration."""
CONFIG_VALUES = {"study.design": {"path": "ladder"}}  # values of a configuration, by the new dotted key
RESULT = {
    "departures": "deviations",
    "train_loss": "metrics.train_loss",
    **{f"{weights}top{k}": f"metrics.{weights}top{k}" for weights in ("", "ema_") for k in (1, 5)},
    **{f"{weights}top{k}_count": f"counts.{weights}top{k}" for weights in ("", "ema_") for k in (1, 5)},
}
"""Keys of a result."""
COLUMNS = {
    "rung": "step",
    "road": "ladder",
    "on_path": "main_sequence",
    "told_from_zero": "significant",
    "arm": "method",
}
"""Columns of a table."""
COLUMN_VALUES = {
    "design": {"path": "ladder"},
    "method": {"plain": "baseline", "plain, bfloat16": "baseline, bfloat16"},
}
"""Values of a table, by the new column."""
OVERRIDES = {
    "only=path": "only=main_sequence",
    "design=path": "design=ladder",
    "study.design=path": "study.design=ladder",
}
WORDS = {"recipe_step": "step"}
"""Keys of a command line alone."""
"""Command-line overrides with an old value."""


def renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration in the new names; the argument is left unchanged."""
    new = _renamed(config, CONFIG, CONFIG_VALUES)
    recipe = new.get("recipe")
    if isinstance(recipe, dict) and type(recipe.get("sync_bn")) is int:  # it was a number of processes
        recipe["sync_bn"] = recipe["sync_bn"] > 1
    return new


def renamed_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result and its configuration in the new names; the argument is left unchanged."""
    return _renamed(result, RESULT, {}) | {"config": renamed(result["config"])}


def renamed_override(override: str) -> str:
    """A command-line override in the new names."""
    for old, new in CONFIG.items():
        if re.match(rf"{re.escape(old)}[.=]", override):
            override = new + override.removeprefix(old)
    for old, new in WORDS.items():
        override = re.sub(rf"^(\+*){old}=", rf"\g<1>{new}=", override)
    if found := re.fullmatch(r"(\+*recipe\.sync_bn)=(\d+)", override):  # a number of processes, as in `renamed`
        override = f"{found[1]}={str(int(found[2]) > 1).lower()}"
    return OVERRIDES.get(override, override)


def _renamed(
    nested: Mapping[str, Any], keys: Mapping[str, str], values: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    new = cast(dict[str, Any], deepcopy(nested))
    for old, name in keys.items():
        group, key = _at(new, old)
        if key in group:
            value = group.pop(key)
            group, key = _at(new, name, create=True)
            group.setdefault(key, value)
    for name, table in values.items():
        group, key = _at(new, name)
        if isinstance(group.get(key), str):
            group[key] = table.get(group[key], group[key])
    return new


def _at(nested: dict[str, Any], dotted: str, *, create: bool = False) -> tuple[dict[str, Any], str]:
    """The dictionary that holds the last part of a dotted key, and that part; an empty one where there is none."""
    *groups, key = dotted.split(".")
    for group in groups:
        found = nested.setdefault(group, {}) if create else nested.get(group)
        nested = found if isinstance(found, dict) else {}
    return nested, key

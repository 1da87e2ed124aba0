"""Which runs are the same: the options that decide what a run computes, and differences between configurations."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from roadmap.config.aliases import renamed

DATA_LOCATION = tuple(f"data.{key}" for key in ("root", "train", "val", "cache"))
# Values of options that configurations do not have that were written before the option existed.
OLD_DEFAULTS = {
    "recipe.precision": "float32",
    "recipe.sync_bn": False,
    "data.resize": None,
    "data.in_memory": False,
    "recipe.init_weights": None,
    "recipe.init_sha256": None,
    "data.fraction": 1.0,
    "data.holdout": 0.0,
    "data.subset_seed": 0,
    "training.max_steps": None,
    "study.tune": "",
}
OUTSIDE_IDENTITY = (
    "study", "training", "tracking", "runs_dir", *DATA_LOCATION, "budget", "regime", "step", "recipe.init_weights",
)  # fmt: skip
DECIDES = "training.max_steps"  # inside, although its group is outside
NAMES = ("study.name", "step.name", "regime.name")  # all of these three groups that is part of it


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The options that decide what a run computes: dotted key to value."""
    flat, processes = flatten(renamed(config)), config.get("recipe", {}).get("sync_bn")
    if type(processes) is int and processes > 1:  # old results were hashed with the number, which is now a switch
        flat["recipe.sync_bn"] = processes
    kept = {
        key: value
        for key, value in flat.items()
        if (key == DECIDES or not under(key, OUTSIDE_IDENTITY)) and OLD_DEFAULTS.get(key, ...) != value
    }
    return kept | {name: flat[name] for name in NAMES if name in flat}


def digest(config: dict[str, Any]) -> str:
    """A hash of `identity`: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:16]


def difference(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which two plain configurations differ, with both values."""
    left, right = OLD_DEFAULTS | flatten(a), OLD_DEFAULTS | flatten(b)
    return {k: (left.get(k), right.get(k)) for k in left | right if left.get(k) != right.get(k)}


def listed_difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The options in which two identities differ, as text; empty if they are equal."""
    changed = sorted(difference(there, wanted).items())
    return ", ".join(f"{key} ({old} there, now {new})" for key, (old, new) in changed)


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary with dotted keys; lists stay as they are."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def under(key: str, parts: Sequence[str]) -> bool:
    """Whether a dotted key equals one of `parts` or begins with one and a dot."""
    return any(f"{key}.".startswith(f"{part}.") for part in parts)

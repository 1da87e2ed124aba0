"""What makes two runs the same: the part of a configuration that decides what they compute."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from roadmap.config.aliases import renamed

DATA_LOCATION = tuple(f"data.{key}" for key in ("root", "train", "val", "cache"))
# What configurations from before a key existed meant by leaving it out.
UNSAID = {"recipe.precision": "float32", "recipe.sync_bn": False}
# Not part of what a run computes, so not of its identity either.
OUTSIDE_IDENTITY = (
    "study.seeds", "study.ladder", "study.design", "training", "tracking", "runs_dir", *DATA_LOCATION, "budget",
    "regime", "step",
)  # fmt: skip


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a plain configuration that decides what a run computes: dotted key to value."""
    flat = flatten(renamed(config))
    kept = {
        key: value for key, value in flat.items() if not under(key, OUTSIDE_IDENTITY) and UNSAID.get(key, ...) != value
    }
    return kept | {"step.name": flat["step.name"], "regime.name": flat["regime.name"]}


def digest(config: dict[str, Any]) -> str:
    """A name for what a run computes: equal exactly when `identity` is."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:16]


def difference(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which two plain configurations differ, with both values."""
    left, right = UNSAID | flatten(a), UNSAID | flatten(b)
    return {k: (left.get(k), right.get(k)) for k in left | right if left.get(k) != right.get(k)}


def told(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """In which keys two identities differ, in words; empty if in none."""
    changed = sorted(difference(there, wanted).items())
    return ", ".join(f"{key} ({old} there, now {new})" for key, (old, new) in changed)


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as dotted keys; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def under(key: str, parts: Sequence[str]) -> bool:
    """Whether a dotted key is one of `parts` or lies below one."""
    return any(f"{key}.".startswith(f"{part}.") for part in parts)

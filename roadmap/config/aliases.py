"""Names that options, results and tables had before, and the names they have now."""

from typing import Any

KEYS = {"study.road": "study.ladder"}
"""Dotted keys of a configuration."""
WORDS = {"only=path": "only=main_sequence"}
"""Words of a sweep."""


def renamed(config: dict[str, Any]) -> dict[str, Any]:
    """A nested configuration with the old names of `KEYS` replaced; the argument is left unchanged."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}
    for old, new in KEYS.items():
        part, key = old.split(".")
        if isinstance(config.get(part), dict) and key in config[part]:
            config[part][new.split(".")[1]] = config[part].pop(key)
    return config

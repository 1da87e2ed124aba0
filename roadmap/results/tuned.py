"""A tuned study beside the untuned one: what `sweep tune=...` recorded, as columns and a note of the table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from roadmap.cli import counted
from roadmap.errors import ConfigError
from roadmap.results.statistics import deviation
from roadmap.results.table import Row
from roadmap.runs import TUNING, read_json


def recorded(places: Sequence[Path]) -> dict[str, Any] | None:
    """The record of a tuned study, from the first of its directories that has one, or from beside it; None: not tuned.

    A ConfigError if it is damaged.
    """
    for path in (path for place in places for path in (place / TUNING, place.with_name(TUNING))):
        if record := read_json(path):
            if not _sound(record):
                raise ConfigError(f"{path}: damaged: the same sweep writes it again")
            return record
    return None


def _sound(record: Mapping[str, Any]) -> bool:
    """Whether a record has what is read from it."""

    def accuracies(value: object) -> bool:
        return isinstance(value, list) and all(type(each) in (int, float) and 0 <= each <= 100 for each in value)

    try:
        steps = record["steps"].values()
        known = all(accuracies(each["untuned"]) and "value" in each for each in steps)
        held_out = [list(each["held_out"].values()) for each in steps]
        measured = all(any(map(accuracies, values)) for values in held_out)
        return known and measured and isinstance(record["untuned"], str) and 0 < record["holdout"] < 1
    except (KeyError, TypeError, AttributeError):
        return False


def text_of(record: Mapping[str, Any]) -> str:
    """A record as it is written."""
    return json.dumps(record, indent=1) + "\n"


def beside_untuned(table: Sequence[Row], record: Mapping[str, Any]) -> list[Row]:
    """Rows with the chosen value, and with the untuned top-1 and its change to the parent, as further metrics."""
    untuned = {step: each["untuned"] for step, each in record["steps"].items() if each["untuned"]}
    means = {step: fmean(values) for step, values in untuned.items()}
    rows = []
    for row in table:
        more: dict[str, tuple[float, float | None]] = {}
        value = record["steps"].get(row.step, {}).get("value")
        if isinstance(value, int | float):
            more[record["option"]] = value, None
        if row.step in means:
            more["untuned_top1"] = means[row.step], deviation(untuned[row.step])
        if row.step in means and row.parent in means:
            more["untuned_change"] = means[row.step] - means[row.parent], None
        rows.append(replace(row, metrics=row.metrics | more))
    return rows


def note(record: Mapping[str, Any]) -> str:
    """How the settings were chosen."""
    steps = record["steps"].values()
    settings = list(dict.fromkeys(setting for each in steps for setting in each["held_out"]))
    seeds = max(len(values) for each in steps for values in each["held_out"].values() if isinstance(values, list))
    return (
        f"{record['option']} of each step is the best of {', '.join(settings)} by its top-1, mean of "
        f"{counted(seeds, 'seed')}, on {100 * record['holdout']:.3g} % of the training images, which were held out; "
        f"the test images had no part in the choice. untuned: the study {record['untuned']}, each step at its own value"
    )

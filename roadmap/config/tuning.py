"""`tune=recipe.lr:[0.5,1,2]`: an option, and the settings of it at which every step is trained."""

import math
import re
from dataclasses import dataclass
from typing import Any

from roadmap.config.identity import OUTSIDE_IDENTITY, under
from roadmap.config.overrides import kinds
from roadmap.errors import ConfigError, require, require_one_of

FORM = re.compile(r"([\w.]+)([:=])\[([^\[\]]+)\]")
ALLOWED = "recipe.lr:[0.5,1,2], factors on each step's own value, or recipe.lr=[0.001,0.002], values"
HOLDOUT = 0.1
"""Share of the training images that chooses between settings, unless data.holdout states another."""


@dataclass(frozen=True)
class Tuning:
    """An option to tune, at some settings: factors on each step's own value, or values as they are typed."""

    key: str
    settings: list[str]  # x0.5 is a factor, 0.001 a value

    def value(self, setting: str, own: Any) -> Any:
        """The value at a setting, for a step whose own value is `own`; a ConfigError for a part of a whole number."""
        if not setting.startswith("x"):
            return setting
        value = own * float(setting[1:])
        whole = isinstance(own, int)
        require(not whole or value == round(value), f"tune={self.key}", value, "a whole number")
        return round(value) if whole else value


def parse_tuning(text: str) -> Tuning:
    """The tuning that the text after `tune=` asks for (ConfigError: it is none)."""
    found = FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"tune={text}: allowed is {ALLOWED}")
    key, settings = found[1], [word.strip() for word in found[3].split(",")]
    require_one_of("tune", key, [name for name in kinds() if "." in name and not under(name, OUTSIDE_IDENTITY)])
    require(len({*settings}) == len(settings) > 1, "tune", text, "two or more different settings")
    if found[2] == "=":
        return Tuning(key, settings)
    factors = kinds()[key] in (int, float) and all(_positive(word) for word in settings)
    require(factors, "tune", text, f"factors more than 0 on a number; other settings are written {key}=[...]")
    return Tuning(key, [f"x{word}" for word in settings])


def _positive(word: str) -> bool:
    try:
        return 0 < float(word) < math.inf
    except ValueError:
        return False

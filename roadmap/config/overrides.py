"""The words of a command line, as Hydra reads them, and the name that they give a study."""

import hashlib
import re

from roadmap.config.identity import WHERE_DATA_LIE, under
from roadmap.config.messages import explain_word
from roadmap.config.schema import Design, Ladder
from roadmap.errors import ConfigError

STEP_WORDS = tuple(ladder.value for ladder in Ladder)
PLACES = ("runs_dir", *WHERE_DATA_LIE)


def parse_overrides(overrides: list[str]) -> dict[str, str]:
    """Override words as key to value text, with what Hydra would let pass refused.

    Raises:
        ConfigError: two steps at once, a step without its plus, several values for one key.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    given: dict[str, str] = {}
    parser = OverridesParser.create()
    for word in overrides:
        try:
            override = parser.parse_overrides([in_quotes(word)])[0]
        except HydraException as error:
            raise ConfigError(explain_word(word, error)) from error
        key = override.key_or_group
        if not key:
            raise ConfigError(f"{override.input_line}: write key=value")
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: one value a run; to train several rungs: scripts/sweep.py steps=[a,b]"
            )
        value = override.get_value_element_as_str()
        if key in STEP_WORDS and (key in given or value.startswith("[")):
            raise ConfigError(f"{key}={value}: allowed is one +{key}=NAME; a step contains all steps before it")
        if key in STEP_WORDS and not override.is_add():
            raise ConfigError(f"{key}={value}: a step is added to the ResNet, write +{key}={value}")
        given[key] = value
    return given


def in_quotes(word: str) -> str:
    """A word of a place, such as `data.root=Photos (2024)`, as Hydra takes it whatever letters it has."""
    from hydra.core.override_parser.types import Quote, QuotedString

    key, equals, value = word.partition("=")
    plain = not value or value == "null" or (value[0] == value[-1] and value[0] in "'\"" and len(value) > 1)
    if not equals or key not in PLACES or plain:
        return word
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def study_name(study: str, given: dict[str, str], design: Design = Design.ladder) -> str:
    """Name of the study that overrides and a design make of `study`; `compose` gives the same name."""
    name = given["study.name"].strip("'\"") if "study.name" in given else named(study, given)
    return name if design is Design.ladder else f"{name},design={design.value}"


def named(name: str, given: dict[str, str]) -> str:
    """`name` with the words that make it another study; a rung of one's own keeps its model to itself."""
    inside = [
        "study",
        *STEP_WORDS,
        "seed",
        "training",
        "tracking",
        *PLACES,
        "data.num_classes",
        *(["model" if "recipe_step" not in given else "recipe"] if "step.name" in given else []),
    ]
    other = [f"{key}={value}" for key, value in sorted(given.items()) if not under(key, inside)]
    full = re.sub(r"[^\w.,=+\[\]-]", "_", ",".join([name, *other]))
    return full if len(full) < 120 else f"{name},{hashlib.sha256(full.encode()).hexdigest()[:12]}"

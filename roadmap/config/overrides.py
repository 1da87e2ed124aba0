"""Overrides on a command line as Hydra reads them, the study's name they give, and Hydra's errors in plain words."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from roadmap.config import schema
from roadmap.config.identity import DATA_LOCATION, under
from roadmap.config.schema import Design, Ladder
from roadmap.errors import ConfigError, did_you_mean
from roadmap.files import sha256

STEP_WORDS = tuple(ladder.value for ladder in Ladder)
PATHS = ("runs_dir", *DATA_LOCATION, "recipe.init_weights")
# Lines of Hydra's and OmegaConf's messages that do not help the person who typed the overrides.
NOISE = re.compile(
    r"full_key:|object_type=|reference_type=|Config search path|provider="
    r"|Set the env|See https|To append|Available options|\w+$"
)
NEEDS_QUOTES = re.compile(r"LexerNoViableAlt|mismatched input|no viable alternative|extraneous input|token recognition")


def parse_overrides(overrides: list[str]) -> dict[str, str]:
    """Keys and values of overrides, as text; a ConfigError for wrong syntax, two steps, a step without its plus."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    given: dict[str, str] = {}
    parser = OverridesParser.create()
    words, paths = without_paths(overrides)
    for word in words:
        try:
            override = parser.parse_overrides([word])[0]
        except HydraException as error:
            raise ConfigError(_explain_syntax(word, error)) from error
        key = override.key_or_group
        if not key:
            raise ConfigError(f"{override.input_line}: write key=value")
        if override.is_sweep_override():
            line = override.input_line
            raise ConfigError(f"{line}: one value per run; to train several steps: scripts/sweep.py steps=[a,b]")
        value = override.get_value_element_as_str()
        if key in STEP_WORDS and (key in given or value.startswith("[")):
            raise ConfigError(f"{key}={value}: allowed is one +{key}=NAME; a step contains all steps before it")
        if key in STEP_WORDS and not override.is_add():
            raise ConfigError(f"{key}={value}: a step is added to the start of the ladder, write +{key}={value}")
        given[key] = paths.get(value, value)
    return given


def without_paths(overrides: list[str]) -> tuple[list[str], dict[str, str]]:
    """Overrides with a placeholder for each path, and the path of each placeholder.

    A path may hold characters that Hydra refuses, as in `data.root=Photos (2024)`.
    """
    words, paths = list(overrides), {}
    for index, word in enumerate(overrides):
        key, _, value = word.partition("=")
        if key in PATHS and value not in ("", "null") and "${" not in value:
            placeholder = f"__{key}__"
            paths[placeholder] = re.sub(r"^(['\"])(.*)\1$", r"\2", value)
            words[index] = f"{key}={placeholder}"
    return words, paths


def study_name(study: str, given: Mapping[str, str], design: Design = Design.ladder) -> str:
    """The name of the study that overrides and a design make of `study`, such as `smoke,recipe.lr=0.1`.

    Overrides that change nothing a run computes are left out, and those that make a step of one's own. A file of
    weights is named by its content: recipe.init_weights=3f2a9c1b.
    """
    if (file := Path(given.get("recipe.init_weights", "")).expanduser()).is_file():
        given = {**given, "recipe.init_weights": sha256(file)[:8]}
    outside = ["study", *STEP_WORDS, "seed", "training", "tracking", "runs_dir", *DATA_LOCATION, "data.num_classes"]
    if "step.name" in given:
        outside.append("recipe" if Ladder.recipe.value in given else "model")
    kept = [f"{key}={value}" for key, value in sorted(given.items()) if not under(key, outside)]
    name = re.sub(r"[^\w.,=+\[\]-]", "_", ",".join([study, *kept]))
    if len(name) >= 120:
        name = f"{study},{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    name = given.get("study.name", name).strip("'\"")
    return name if design is Design.ladder else f"{name},design={design.value}"


def explain(error: BaseException) -> str:
    """The helpful part of an error of Hydra or OmegaConf in one or two lines: what and where, then what is allowed."""
    texts = [str(error)]
    while (error_cause := error.__cause__) is not None:
        error = error_cause
        texts.append(str(error))
    whole = "\n".join(texts)
    lines = [line.strip() for text in texts for line in text.splitlines()]
    kept = [line for line in lines if line and not NOISE.match(line)]
    text = " ".join(dict.fromkeys([kept[0], kept[-1]])) if kept else type(error).__name__
    if options := re.findall(r"^\t(\w+)$", whole, flags=re.MULTILINE):
        text = f"{kept[0]}\nallowed: {' '.join(options)}"
    unknown = re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'", whole)
    owner = getattr(schema, unknown[2], None) if unknown else None
    if unknown and is_dataclass(owner):
        allowed = [field.name for field in fields(owner)]
        text += f"\nallowed: {' '.join(allowed)}{did_you_mean(unknown[1], allowed)}"
    return text


def _explain_syntax(word: str, error: BaseException) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word}: write key=value"
    if value[:1] not in ("[", "{") and NEEDS_QUOTES.search(str(error)):
        return f"{word}: this value needs quotes: \"{key}='{value}'\""
    return explain(error)

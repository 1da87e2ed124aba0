"""Overrides on a command line as Hydra reads them, the study's name they give, and Hydra's errors in plain words."""

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_origin

from roadmap.config import schema
from roadmap.config.identity import DATA_LOCATION, DECIDES, under
from roadmap.config.schema import Design
from roadmap.config.values import bare, conform, is_number, options
from roadmap.errors import ConfigError
from roadmap.files import sha256

SPECIAL = re.compile(r"[^\w.,=+\[\]-]")  # characters that names do not have
PATHS = ("runs_dir", *DATA_LOCATION, "recipe.init_weights")
LADDER = "study.ladder"  # decides which steps are composed
OUTSIDE = ("study", "step", "seed", "training", "tracking", "runs_dir", *DATA_LOCATION, "data.num_classes")
"""Options that are no part of a study's name; study.ladder is."""
# Lines of Hydra's and OmegaConf's messages that do not help the person who typed the overrides.
NOISE = re.compile(
    r"full_key:|object_type=|reference_type=|Config search path|provider="
    r"|Set the env|See https|To append|Available options|\w+$"
)
HYDRA = {
    ("hydra.run", "hydra.sweep", "hydra.job", "hydra.output_subdir"): "runs_dir=DIR, where a run lies in "
    "STUDY/STEP/seed-N; study.name=NAME names the study",
    ("hydra.launcher",): "scripts/sweep.py with jobs=N, or cluster=slurm cluster.partition=NAME",
    ("hydra.sweeper", "-m", "--multirun"): "scripts/sweep.py with steps=[a,b] and seeds=N, or design=NAME",
    ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd", "hydra.searchpath"): "study=NAME, a file "
    "of conf/study; run=DIR carries out a frozen configuration",
    ("--info", "-i", "-c", "--resolve", "--package", "-p", "job"): "train.py ... --cfg, which prints the configuration",
    ("hydra", "--hydra-help", "--run", "-r", "--experimental-rerun"): "only the options that train.py --cfg prints",
}
"""Hydra's own options, and what does the same here."""
TEXT = (str | None, str)  # the first may be unset
PLAIN = re.compile(r"[\w.+-]+")


def parse_overrides(overrides: list[str]) -> dict[str, str]:
    """Keys and values of overrides, as text; a ConfigError for wrong syntax, two steps, a step without its plus."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    given: dict[str, str] = {}
    parser = OverridesParser.create()
    refuse_hydras(overrides)
    words, as_typed = with_placeholders(overrides)
    for word in words:
        try:
            override = parser.parse_overrides([word])[0]
        except (HydraException, ValueError) as error:  # ValueError: a number of more digits than Python reads
            raise ConfigError(_explain_syntax(word, error)) from error
        key = override.key_or_group
        if not key:
            raise ConfigError(f"{override.input_line}: write key=value")
        if override.is_sweep_override():
            several = "several steps are scripts/sweep.py steps=[a,b]"
            raise ConfigError(f"{word}: one value per run{_quoting(word)}; {several}")
        if kinds().get(key) in TEXT and isinstance(override.value(), (list, dict)):
            raise ConfigError(f"{word}: allowed is text{_quoting(word)}")
        if is_number(number := override.value()) and key in options(schema.Config):
            conform(number, options(schema.Config)[key], key)  # before anything is computed from it
        value = override.get_value_element_as_str()
        if key == "step" and (key in given or value.startswith("[")):
            raise ConfigError(f"{key}={value}: allowed is one +{key}=NAME; a step contains all steps before it")
        if key == "step" and not override.is_add():
            raise ConfigError(f"{key}={value}: a step is added to the start of the ladder, write +{key}={value}")
        given[key] = as_typed.get(value, value)
    return given


def refuse_hydras(words: Iterable[str]) -> None:
    """Refuse Hydra's own options, by a ConfigError that says what does the same here."""
    for word in words:
        key = word.partition("=")[0].lstrip("+~").replace("/", ".")
        for names, here in HYDRA.items():
            if under(key, names):
                raise ConfigError(f"{word}: Hydra's own option; here: {here}")


@cache
def kinds() -> dict[str, Any]:
    """The type of every option, without its rules, by dotted key."""
    return {key: bare(kind)[0] for key, kind in options(schema.Config).items()}


def likely_option(word: str, allowed: Iterable[str]) -> str:
    """A question to append to a refusal: the allowed word that was meant, or the option of that name in its group."""
    name = word.lstrip("+~").rpartition(".")[2]
    grouped = {key: key.rpartition(".")[2] for key in kinds() if "." in key}
    meant = [*get_close_matches(name, [*allowed], n=1), *(key for key, last in grouped.items() if last == name)]
    if not meant:
        near = get_close_matches(name, {*grouped.values()}, n=1)
        meant = [key for key, last in grouped.items() if last in near]
    return f" (did you mean {' or '.join(meant)}?)" if meant else ""


def with_placeholders(overrides: list[str]) -> tuple[list[str], dict[str, str]]:
    """Overrides with a placeholder for each path and each plain text, and the value of each placeholder.

    So they stay what was typed: Hydra refuses characters of paths, as in `data.root=Photos (2024)`, and would read
    `study.name=true` as True and `step.section=2.10` as 2.1.
    """
    words, values = list(overrides), {}
    for index, word in enumerate(overrides):
        typed, _, value = word.partition("=")
        key, placeholder = typed.lstrip("+"), f"__{typed.lstrip('+')}__"
        if key in PATHS and value not in ("", "null") and "${" not in value:
            values[placeholder] = re.sub(r"^(['\"])(.*)\1$", r"\2", value)
        elif key != LADDER and kinds().get(key) in TEXT[value.lower() == "null" :] and PLAIN.fullmatch(value):
            values[placeholder] = value
        else:
            continue
        words[index] = f"{typed}={placeholder}"
    return words, values


def study_name(
    study: str,
    given: Mapping[str, str],
    *,
    design: Design = Design.ladder,
    own_parts: Sequence[str] = (),
    tune: str = "",
) -> str:
    """The name of the study that overrides, a design or a tuning make of `study`, such as `smoke,recipe.lr=0.1`.

    Overrides that change nothing a run computes are left out, and those under `own_parts`, which make a step of one's
    own. A file of weights is named by its content: recipe.init_weights=3f2a9c1b.
    """
    if (file := Path(given.get("recipe.init_weights", "")).expanduser()).is_file():
        given = {**given, "recipe.init_weights": sha256(file)[:8]}
    outside = [*OUTSIDE, *own_parts]
    kept = [f"{key}={value}" for key, value in sorted(given.items()) if key == DECIDES or not under(key, outside)]
    kept += [f"ladder={given[LADDER]}"] if LADDER in given else []
    name = SPECIAL.sub("_", ",".join([study, *kept]))
    if len(name) >= 120:
        name = f"{study},{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:12]}"
    name = given.get("study.name", name).strip("'\"")
    name = name if design is Design.ladder else f"{name},design={design.value}"
    return f"{name},tune={SPECIAL.sub('_', tune)}" if tune else name


def explain(error: BaseException, overrides: Sequence[str] = ()) -> str:
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
        text += f"\nallowed: {' '.join(allowed)}{likely_option(unknown[1], allowed)}"
    if references := [word for word in overrides if "${" in word and "nterpolation" in whole]:
        shells = 'a variable of the shell stands in double quotes, "key=$NAME"'
        text = f"{references[0]}: {text}\n${{...}} is another option, as in ${{recipe.lr}}; {shells}"
    return text


def _explain_syntax(word: str, error: BaseException) -> str:
    if "=" not in word:
        return f"{word}: write key=value"
    how = _quoting(word) or f"; {str(error).splitlines()[0]}"
    return f"{word}: {how[2:]}"


def _quoting(word: str) -> str:
    """How to write the value of an override that Hydra reads otherwise, for a shell."""
    key, _, value = word.partition("=")
    kind = kinds().get(key.lstrip("+"), str)
    if get_origin(kind) is list:
        return f"; a list is written {key}=[a,b]"
    if kind not in TEXT:
        return ""
    hydras = key + "='" + value.strip(value[:1] if value[:1] in "'\"" else "").replace("'", "\\'") + "'"
    shells = shlex.quote(hydras) if re.search(r'["$`!]', hydras) else f'"{hydras}"'
    return f"; as text, this value needs quotes: {shells}"

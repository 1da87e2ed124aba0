"""From words on a command line to one checked, resolved configuration; and that configuration as a file.

The only module that knows Hydra. `compose` is for command lines; `load` reads a frozen configuration back.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap import formulas
from roadmap.checks import check, class_folders, require
from roadmap.files import write_atomic
from roadmap.refusals import explain, explain_word
from roadmap.schema import Config, ConfigError, Dataset, Road, StepConfig, Tracking
from roadmap.steps import CONF, regimes, steps

STEP_WORDS = tuple(road.value for road in Road)
WHERE_DATA_LIE = tuple(f"data.{key}" for key in ("root", "train", "val", "cache"))
PLACES = ("runs_dir", *WHERE_DATA_LIE)
# What configurations from before a key existed meant by leaving it out.
UNSAID = {"recipe.precision": "float32", "recipe.sync_bn": 1}
# Not part of what a run computes, so not of its identity either.
OUTSIDE_IDENTITY = (
    "study.seeds", "study.road", "study.design", "training", "tracking", "runs_dir", *WHERE_DATA_LIE, "budget",
    "regime", "step",
)  # fmt: skip


def compose(overrides: list[str], *, config_name: str = "config") -> Config:
    """Build the configuration that Hydra override words such as `+step=gelu recipe.lr=0.1` ask for.

    A study with overrides is another study, named after them: `fashion_mnist,recipe.lr=0.1`.

    Raises:
        ConfigError: one or two lines that name the key and the allowed values.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    _register()
    try:
        given = parse_overrides(overrides)
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            composed = hydra_compose(config_name, [in_quotes(word) for word in overrides])
        config = parse(_with_classes(cast(dict[str, Any], OmegaConf.to_container(composed))))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    except ValueError as error:  # Hydra's own checks of some words
        raise error if isinstance(error, ConfigError) else ConfigError(explain(error)) from error
    require(config.regime.name in regimes(), "regime.name", config.regime.name, f"one of {' '.join(regimes())}")
    _check_road(config.study.road, given)
    _check_tracking(config.tracking)
    if "study.name" not in given:
        config.study.name = _study_name(config.study.name, given)
    if "step.name" in given:
        config.step = _own_step(config.step, given, config.study.road)
        if config.study.road is Road.recipe:
            config.recipe.name = config.step.name
    check(config)
    return config


def parse(raw: dict[str, Any]) -> Config:
    """Type and resolve a plain dictionary; an unknown key or a wrong type is an OmegaConf error."""
    merged = OmegaConf.merge(_register(), raw)
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise ConfigError(f"{missing[0]}: a value is needed")
    OmegaConf.resolve(cast(DictConfig, merged))
    return cast(Config, OmegaConf.to_object(merged))


def _with_classes(raw: dict[str, Any]) -> dict[str, Any]:
    """A composed configuration, with the classes of a tree of folders counted if nobody has said how many.

    Raises:
        ConfigError: there are none to be counted.
    """
    data = raw["data"]
    if data["name"] is not Dataset.imagefolder or data["num_classes"] != "???" or data["root"] == "???":
        return raw
    root = Path(data["root"]).expanduser()
    found = len(class_folders(root / "train"))
    if not found:
        flat = f"; classes lie in {root} itself, docs/data.md says how to split them" if class_folders(root) else ""
        raise ConfigError(
            f"data.num_classes: a value is needed, or {root / 'train'} (and val) with a folder for every class{flat}"
        )
    return raw | {"data": data | {"num_classes": found}}


def to_dict(config: Config) -> dict[str, Any]:
    """A configuration as plain data."""
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True))


def as_yaml(config: Config) -> str:
    """A configuration as YAML text."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def save(config: Config, path: Path) -> None:
    """Freeze a configuration into a YAML file."""
    write_atomic(path, as_yaml(config))


def load(path: Path) -> Config:
    """Read a frozen configuration back.

    Raises:
        ConfigError: the file is missing, damaged or of another shape.
    """
    try:
        config = parse(yaml.safe_load(path.read_text()))
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    check(config)
    return config


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a plain configuration that decides what a run computes: dotted key to value."""
    flat = flatten(config)
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


def study_name(overrides: list[str], *, study: str) -> str:
    """The name of the study that `compose` makes of `study` and override words, without composing it.

    Raises:
        ConfigError: words that cannot be read.
    """
    given = parse_overrides(overrides)
    return given["study.name"].strip("'\"") if "study.name" in given else _study_name(study, given)


def _study_name(name: str, given: dict[str, str]) -> str:
    """`name`, with the overrides that make it another study; a rung of one's own keeps its model to itself."""
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


def _check_road(road: Road, given: dict[str, str]) -> None:
    """See that a step is of the study's road, and that on the recipe road nothing else changes the recipe."""
    require("study.design" not in given, "study.design", given.get("study.design"), "design=NAME, of scripts/sweep.py")
    for word in given.keys() & {*STEP_WORDS} - {road.value}:
        other = f"+{road.value}=NAME in a study with study.road={road.name}"
        raise ConfigError(f"+{word}={given[word]}: allowed is {other}")
    if road is Road.recipe:
        require("recipe" not in given, "recipe", given.get("recipe"), "original: on the recipe road steps change it")


def _check_tracking(tracking: Tracking) -> None:
    """See that what a tracker needs is installed; only here, for a frozen run may be looked at without it."""
    there = tracking is Tracking.none or importlib.util.find_spec(tracking.name) is not None
    require(there, "tracking", tracking.name, f"none, or {tracking.name} after pip install {tracking.name}")


def _own_step(step: StepConfig, given: dict[str, str], road: Road) -> StepConfig:
    """A rung from the command line: by default it builds on the step it was made from.

    Raises:
        ConfigError: its name is taken, or there is no such parent.
    """
    known = [rung.name for rung in steps(road=road)]
    if step.name in known:
        raise ConfigError(f"step.name={step.name}: allowed is a name of its own, not one of {' '.join(known)}")
    parent = given.get("step.parent", given.get(road.value, "resnet"))
    if parent not in known:
        raise ConfigError(f"step.parent={parent}: allowed is one of {' '.join(known)}")
    title, section = given.get("step.title", step.name), given.get("step.section", "own")
    return StepConfig(step.name, parent, section, step.group, title)


@cache
def _register() -> DictConfig:
    """The schema; it and the formulas of the recipes are known to Hydra and OmegaConf from now on."""
    from hydra.core.config_store import ConfigStore

    typed: DictConfig = OmegaConf.structured(Config)
    ConfigStore.instance().store("schema", typed)
    formulas.register()
    return typed

"""From the overrides of a command line to a checked configuration, and a configuration as a file."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from roadmap.config.aliases import renamed, renamed_override
from roadmap.config.checks import check
from roadmap.config.conf import MISSING, composed, instance, plain, typed
from roadmap.config.identity import flatten
from roadmap.config.overrides import STEP_WORDS, explain, parse_overrides, study_name
from roadmap.config.schema import Config, Ladder, StepConfig, Tracking
from roadmap.config.steps import regimes, steps
from roadmap.data.datasets import class_folders
from roadmap.errors import ConfigError, require

Data = dict[str, Any]


def compose(overrides: Sequence[str]) -> Config:
    """The configuration of overrides such as `+step=gelu recipe.lr=0.1`, as Hydra reads them.

    A study with overrides is another study, named after them: `fashion_mnist,recipe.lr=0.1`.

    Raises:
        ConfigError: one or two lines that name the key and the allowed values.
    """
    words = [renamed_override(word) for word in overrides]
    given = parse_overrides(words)
    config = _config(_with_classes(composed(words), words))
    require(config.regime.name in regimes(), "regime.name", config.regime.name, f"one of {' '.join(regimes())}")
    _check_ladder(config.study.ladder, given)
    _check_tracking(config.tracking)
    config.study.name = study_name(config.study.name, given)
    if "step.name" in given:
        config.step = _own_step(config.step, given, config.study.ladder)
        if config.study.ladder is Ladder.recipe:
            config.recipe.name = config.step.name
    check(config)
    return config


def parse(raw: Data) -> Config:
    """A configuration from plain data; an unknown key or a wrong type is an OmegaConf error.

    Raises:
        ConfigError: a value is missing.
    """
    return _config(typed(raw))


def _config(data: Data) -> Config:
    missing = sorted(key for key, value in flatten(data).items() if value == MISSING)
    if missing:
        raise ConfigError(f"{missing[0]}: a value is needed")
    return instance(Config, data)


def _with_classes(config: Data, overrides: Sequence[str]) -> Data:
    """The configuration, with the number of class folders if it is not set.

    Raises:
        ConfigError: there are no class folders.
    """
    data = config["data"]
    if data["name"] != "imagefolder" or data["num_classes"] != MISSING or data["root"] == MISSING:
        return config
    root = Path(data["root"]).expanduser()
    found = len(class_folders(root / "train"))
    if not found:
        flat = f"; classes lie in {root} itself, docs/data.md says how to split them" if class_folders(root) else ""
        raise ConfigError(
            f"data.num_classes: a value is needed, or {root / 'train'} (and val) with a folder for every class{flat}"
        )
    return composed([*overrides, f"data.num_classes={found}"])


def to_dict(config: Config) -> Data:
    """A configuration as plain data."""
    data: Data = plain(config)
    return data


def as_yaml(config: Config) -> str:
    """A configuration as YAML text."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def load(path: Path) -> Config:
    """Read a frozen configuration.

    Raises:
        ConfigError: the file is missing or damaged, or holds an illegal configuration.
    """
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = parse(renamed(yaml.safe_load(path.read_text())))
    except (OSError, ValueError, AttributeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    check(config)
    return config


def _check_ladder(ladder: Ladder, given: dict[str, str]) -> None:
    """Refuse a step of another ladder, and another recipe on the recipe ladder."""
    require("study.design" not in given, "study.design", given.get("study.design"), "design=NAME, of scripts/sweep.py")
    for word in given.keys() & {*STEP_WORDS} - {ladder.value}:
        other = f"+{ladder.value}=NAME in a study with study.ladder={ladder.name}"
        raise ConfigError(f"+{word}={given[word]}: allowed is {other}")
    if ladder is Ladder.recipe:
        require("recipe" not in given, "recipe", given.get("recipe"), "original: on the recipe ladder steps change it")


def _check_tracking(tracking: Tracking) -> None:
    """Refuse a tracker that is not installed; not for frozen runs, which are read without it."""
    there = tracking is Tracking.none or importlib.util.find_spec(tracking.name) is not None
    require(there, "tracking", tracking.name, f"none, or {tracking.name} after pip install {tracking.name}")


def _own_step(step: StepConfig, given: dict[str, str], ladder: Ladder) -> StepConfig:
    """A step made on the command line; its parent is by default the step it was made from.

    Raises:
        ConfigError: its name is that of a step file, or its parent is unknown.
    """
    known = [each.name for each in steps(ladder=ladder)]
    if step.name in known:
        raise ConfigError(f"step.name={step.name}: allowed is a name of its own, not one of {' '.join(known)}")
    parent = given.get("step.parent", given.get(ladder.value, known[0]))
    require(parent in known, "step.parent", parent, f"one of {' '.join(known)}")
    title, section = given.get("step.title", step.name), given.get("step.section", "own")
    return StepConfig(step.name, parent, section, step.group, title)

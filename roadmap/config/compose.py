"""From words on a command line to one checked, resolved configuration; and that configuration as a file.

With `overrides` all that knows Hydra. `compose` is for command lines; `load` reads a frozen configuration back.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config import formulas
from roadmap.config.aliases import renamed
from roadmap.config.checks import check
from roadmap.config.messages import explain
from roadmap.config.overrides import STEP_WORDS, in_quotes, named, parse_overrides
from roadmap.config.schema import Config, Ladder, StepConfig, Tracking
from roadmap.config.steps import CONF, regimes, steps
from roadmap.data.datasets import class_folders
from roadmap.errors import ConfigError, require
from roadmap.files import write_atomic


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
    _check_ladder(config.study.ladder, given)
    _check_tracking(config.tracking)
    if "study.name" not in given:
        config.study.name = named(config.study.name, given)
    if "step.name" in given:
        config.step = _own_step(config.step, given, config.study.ladder)
        if config.study.ladder is Ladder.recipe:
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
    if data["name"] != "imagefolder" or data["num_classes"] != "???" or data["root"] == "???":
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
        config = parse(renamed(yaml.safe_load(path.read_text())))
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    check(config)
    return config


def _check_ladder(ladder: Ladder, given: dict[str, str]) -> None:
    """See that a step is of the study's ladder, and that on the recipe ladder nothing else changes the recipe."""
    require("study.design" not in given, "study.design", given.get("study.design"), "design=NAME, of scripts/sweep.py")
    for word in given.keys() & {*STEP_WORDS} - {ladder.value}:
        other = f"+{ladder.value}=NAME in a study with study.ladder={ladder.name}"
        raise ConfigError(f"+{word}={given[word]}: allowed is {other}")
    if ladder is Ladder.recipe:
        require("recipe" not in given, "recipe", given.get("recipe"), "original: on the recipe ladder steps change it")


def _check_tracking(tracking: Tracking) -> None:
    """See that what a tracker needs is installed; only here, for a frozen run may be looked at without it."""
    there = tracking is Tracking.none or importlib.util.find_spec(tracking.name) is not None
    require(there, "tracking", tracking.name, f"none, or {tracking.name} after pip install {tracking.name}")


def _own_step(step: StepConfig, given: dict[str, str], ladder: Ladder) -> StepConfig:
    """A rung from the command line: by default it builds on the step it was made from.

    Raises:
        ConfigError: its name is taken, or there is no such parent.
    """
    known = [rung.name for rung in steps(ladder=ladder)]
    if step.name in known:
        raise ConfigError(f"step.name={step.name}: allowed is a name of its own, not one of {' '.join(known)}")
    parent = given.get("step.parent", given.get(ladder.value, "resnet"))
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

"""From the overrides of a command line to a checked configuration, and a configuration as a file."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import yaml

from roadmap.config.aliases import renamed, renamed_override
from roadmap.config.checks import check
from roadmap.config.conf import composed, instance, to_dict, typed
from roadmap.config.identity import flatten
from roadmap.config.overrides import explain, parse_overrides, study_name
from roadmap.config.schema import MISSING, Config, RecipeConfig, StepConfig, Tracking
from roadmap.config.step_files import Ladder, naming_file, read_ladder
from roadmap.config.steps import regimes
from roadmap.config.yaml_files import Data
from roadmap.data.datasets import class_folders
from roadmap.errors import ConfigError, printable, require, require_one_of
from roadmap.files import sha256


def compose(overrides: Sequence[str]) -> Config:
    """The configuration of overrides such as `+step=gelu recipe.lr=0.1`, as Hydra reads them.

    A study with overrides is another study, named after them: `fashion_mnist,recipe.lr=0.1`. A ConfigError names
    the key and the allowed values in one or two lines.
    """
    words = [renamed_override(word) for word in overrides]
    given = parse_overrides(words)
    config = _config(_with_classes(composed(words), words))
    require_one_of("regime.name", config.regime.name, regimes())
    ladder = read_ladder(config.study.ladder)
    require("study.design" not in given, "study.design", given.get("study.design"), "design=NAME, of scripts/sweep.py")
    if "recipe" in ladder.own_parts:
        require(
            "recipe" not in given, "recipe", given.get("recipe"), f"none: the steps of ladder {ladder.name} change it"
        )
    require_tracker(config.tracking)  # here, not where frozen runs are read
    _pin_weights(config.recipe)
    own = "step.name" in given
    config.study.name = study_name(config.study.name, given, own_parts=ladder.own_parts if own else ())
    made_from = given.get("step", ladder.start)
    if own:
        config.step = _own_step(config.step, given, ladder)
        if "recipe" in ladder.own_parts:
            config.recipe.name = config.step.name
    with naming_file(ladder.chain(made_from), given):
        check(config)
    return config


def require_tracker(tracking: Tracking) -> None:
    """Refuse a tracker that is not installed, by a ConfigError that says how to install it."""
    name = tracking.name
    there = tracking is Tracking.none or importlib.util.find_spec(name) is not None
    require(there, "tracking", name, f"none, or {name} after pip install {name} (make setup WITH={name})")


def parse(raw: Data) -> Config:
    """A configuration from plain data; an unknown key or a wrong type is an OmegaConf error, no value a ConfigError."""
    return _config(typed(raw))


def _config(data: Data) -> Config:
    missing = sorted(key for key, value in flatten(data).items() if value == MISSING)
    if missing:
        raise ConfigError(f"{missing[0]}: a value is needed")
    config: Config = instance(Config, data)
    return config


def _with_classes(config: Data, overrides: Sequence[str]) -> Data:
    """The configuration, with the number of class folders if it is not set."""
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


def as_yaml(config: Config) -> str:
    """A configuration as YAML text."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def load(path: Path) -> Config:
    """Read a frozen configuration, which is plain data; a ConfigError if it is missing, damaged or illegal."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = path.read_text()
        require("${" not in text, str(path), "${...}", "plain data, without interpolations")
        config = parse(renamed(yaml.safe_load(text)))
    except (OSError, ValueError, AttributeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    check(config)
    return config


def _pin_weights(recipe: RecipeConfig) -> None:
    """Take the hash of the file of weights that a run starts from into its recipe."""
    if recipe.init_weights is None:
        return
    file = Path(recipe.init_weights).expanduser()
    require(file.is_file(), "recipe.init_weights", recipe.init_weights, "a file of weights")
    found, stated = sha256(file), recipe.init_sha256
    require(stated in (None, found), "recipe.init_sha256", stated, f"{found}, that of {file}")
    recipe.init_sha256 = found


def _own_step(step: StepConfig, given: dict[str, str], ladder: Ladder) -> StepConfig:
    """A step made on the command line; its parent is by default the step it was made from."""
    known = ladder.files
    if step.name in known:
        raise ConfigError(f"step.name={step.name}: allowed is a name of its own, not one of {' '.join(known)}")
    parent = given.get("step.parent", given.get("step", ladder.start))
    require_one_of("step.parent", parent, known)
    title = printable(step.title) if "step.title" in given else step.name
    section = step.section if "step.section" in given else "own"
    return StepConfig(step.name, parent, section, step.group, title)

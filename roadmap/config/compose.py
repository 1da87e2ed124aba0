"""From the overrides of a command line to a checked configuration, and a configuration as a file."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from roadmap.config.aliases import renamed, renamed_override
from roadmap.config.checks import check
from roadmap.config.conf import composed, instance, ladder_of, to_dict, typed, without_own_ladder
from roadmap.config.identity import flatten, under
from roadmap.config.overrides import explain, parse_overrides, study_name
from roadmap.config.schema import MISSING, Config, RecipeConfig, StepConfig, Tracking
from roadmap.config.step_files import Ladder, naming_file, read_ladder
from roadmap.config.steps import regimes
from roadmap.config.yaml_files import Data, parse_yaml, to_yaml
from roadmap.data.datasets import class_folders, split_hint
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
    if "recipe" in ladder.options.changes:
        require(
            "recipe" not in given, "recipe", given.get("recipe"), f"none: the steps of ladder {ladder.name} change it"
        )
    require_tracker(config.tracking)  # here, not where frozen runs are read
    _pin_weights(config.recipe)
    own, changes = "step.name" in given, ladder.options.changes
    given = without_own_ladder(given, [word for word in words if word.startswith("study=")])
    config.study.name = study_name(config.study.name, given, own_parts=changes if own else ())
    made_from = given.get("step", ladder.start)
    if own:
        config.step = _own_step(config.step, given, ladder)
        if "recipe" in ladder.options.changes:
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
    where = "data.root=FOLDER, with make ROOT=FOLDER"
    allowed = f"a folder that exists, with train and val and in each a folder for every class: {where}"
    require(root.is_dir(), "data.root", root, allowed)
    found = len(class_folders(root / "train") or class_folders(root / "val"))  # to evaluate, val is enough
    if not found:
        raise ConfigError(
            f"data.num_classes: a value is needed, or {root / 'train'} (and val) with a folder for every class"
            f"{split_hint(root) or f': {where}'}"
        )
    return composed([*overrides, f"data.num_classes={found}"])


def as_yaml(config: Config) -> str:
    """A configuration as YAML text."""
    return to_yaml(to_dict(config))


def load(path: Path) -> Config:
    """Read a frozen configuration, which is plain data; a ConfigError if it is missing, damaged or illegal."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = path.read_text()
        require("${" not in text, str(path), "${...}", "plain data, without interpolations")
        config = parse(renamed(parse_yaml(text)))
        check(config)
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply") from error
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
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
    """A step made on the command line; its parent is by default the step it was made from, its group the parent's."""
    known = ladder.files
    if step.name in known:
        raise ConfigError(f"step.name={step.name}: allowed is a name of its own, not one of {' '.join(known)}")
    parent = given.get("step.parent", given.get("step", ladder.start))
    require_one_of("step.parent", parent, known)
    title = printable(step.title) if "step.title" in given else step.name
    section = step.section if "step.section" in given else "own"
    group = step.group if "step.group" in given else known[parent].step.group
    return StepConfig(step.name, parent, section, group, title)


def refuse_nameless(overrides: Sequence[str]) -> None:
    """Refuse options that make a step of one's own without a name, by a ConfigError that proposes one."""
    words = [renamed_override(word) for word in overrides]
    given = parse_overrides(words)
    ladder = read_ladder(ladder_of(words))
    changed = {key: value for key, value in given.items() if under(key, ladder.options.changes)}
    if changed and not {"step.name", "study.name"} & given.keys():
        said = " ".join(f"{key}={value}" for key, value in changed.items())
        raise ConfigError(
            f"{said}: a step of your own, which needs a name: add step.name={proposed_name(changed, ladder)}\n"
            "or study.name=NAME, for another study whose steps all have these options"
        )


def proposed_name(changed: Mapping[str, str], ladder: Ladder) -> str:
    """A name for a step of one's own, after the options that it changes: kernel_size_13."""
    key, value = next(iter(changed.items()))
    option, plain = key.rpartition(".")[2], re.sub(r"[^\w.-]+", "_", value).strip("_.")
    name = f"{option}_{plain}" if len(plain) <= 20 else f"own_{option}"
    return f"own_{name}" if name in ladder.files else name

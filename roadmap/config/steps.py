"""The ladders as data: the rungs in conf/step and conf/recipe_step, their order, and what each is.

Needs neither Hydra nor torch.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config import formulas
from roadmap.config.checks import check_model
from roadmap.config.schema import BudgetConfig, Init, Ladder, ModelConfig, RecipeConfig, StepConfig
from roadmap.errors import ConfigError

CONF = Path(__file__).resolve().parents[1] / "conf"


@dataclass(frozen=True)
class Step:
    """A rung of the ladder."""

    name: str
    parent: str | None
    section: str
    """Section of the paper."""
    group: str
    title: str
    main_sequence: bool
    """Whether it lies on the longest chain, of equals the one that is not of section own; the others are side rungs."""
    declares: frozenset[str]
    """Dotted keys that its file sets, or the name of a group that it replaces."""
    changes: dict[str, tuple[Any, Any]]
    """Dotted key to its value before and after, in the regime asked for."""


def regimes() -> list[str]:
    """Names of the sizes of network."""
    return sorted(path.stem for path in (CONF / "regime").glob("*.yaml"))


@cache
def steps(regime: str = "resnet50", ladder: Ladder = Ladder.network) -> list[Step]:
    """All rungs of a ladder in ladder order: by distance from the ResNet, alternatives of one parent by title.

    Raises:
        ConfigError: an unknown regime, or a step file that contradicts itself.
    """
    parents: dict[str, str | None] = {"resnet": None}
    parents |= {name: _parent(name, ladder) for name in _names(ladder)}
    chains = {name: _chain(name, parents, ladder) for name in parents}
    tips = {
        name: (len(chain), _body(name, ladder).step.section != "own") for name, chain in chains.items() if chain[1:]
    }
    path = chains[max(sorted(tips), key=tips.__getitem__)]
    rungs = [_step(name, parents[name], regime, ladder=ladder, main_sequence=name in path) for name in parents]
    return sorted(rungs, key=lambda rung: (len(chains[rung.name]), _natural(rung.title)))


def find(name: str, regime: str = "resnet50", ladder: Ladder = Ladder.network) -> Step:
    """The rung of that name.

    Raises:
        ConfigError: naming the rungs there are.
    """
    rungs = {rung.name: rung for rung in steps(regime, ladder)}
    if name not in rungs:
        raise ConfigError(f"{ladder.value}={name}: allowed is one of {' '.join(rungs)}")
    return rungs[name]


def model_config(step: str = "resnet", regime: str = "resnet50") -> ModelConfig:
    """The network of a rung in a regime, as data.

    Raises:
        ConfigError: an unknown step or regime, or an illegal network.
    """
    find(step, regime)
    model = cast(ModelConfig, OmegaConf.to_object(_composed(step, regime, Ladder.network).model))
    check_model(model)
    return model


def initial_weights(step: str = "resnet") -> Init:
    """How the recipe that a rung trains with sets its initial weights."""
    return cast(Init, _composed(step, "resnet50", Ladder.network).recipe.init)


@cache
def _composed(step: str, regime: str, ladder: Ladder) -> DictConfig:
    """What a step's chain of files makes of `model` and `recipe`, as published."""
    if regime not in regimes():
        raise ConfigError(f"regime={regime}: allowed is one of " + " ".join(regimes()))
    if step == "resnet":
        model = OmegaConf.merge(OmegaConf.structured(ModelConfig), _read("model/resnet"))
        base = {"regime": _read(f"regime/{regime}"), "model": model, "recipe": _recipe("original")}
        return cast(DictConfig, OmegaConf.merge({"budget": OmegaConf.structured(BudgetConfig)}, base))
    body = _body(step, ladder)
    own = OmegaConf.masked_copy(body, [str(key) for key in body if key != "defaults"])
    for default in body.defaults:
        if isinstance(default, DictConfig) and "override /recipe" in default:
            own["recipe"] = _recipe(default["override /recipe"])
    try:
        return cast(DictConfig, OmegaConf.merge(_composed(_parent(step, ladder) or "resnet", regime, ladder), own))
    except OmegaConfBaseException as error:
        raise ConfigError(f"conf/{ladder.value}/{step}.yaml: {str(error).splitlines()[0]}") from error


def _recipe(name: str) -> DictConfig:
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(RecipeConfig), _read(f"recipe/{name}")))


def _step(name: str, parent: str | None, regime: str, *, ladder: Ladder, main_sequence: bool) -> Step:
    if parent is None:
        own, declares, changes = OmegaConf.structured(StepConfig), frozenset[str](), {}
    else:
        body = _body(name, ladder)
        own = body.step
        groups = [str(key).removeprefix("override /") for d in body.defaults if isinstance(d, DictConfig) for key in d]
        keys = [f"{part}.{key}" for part in ("model", "recipe") for key in body.get(part, {})]
        declares = frozenset([*groups, *keys])
        before, after = (_values(_resolved(step, regime, ladder), whole=groups) for step in (parent, name))
        changes = {key: (before[key], value) for key, value in after.items() if before[key] != value}
    identity = {key: own[key] for key in ("name", "parent", "section", "group", "title")}
    return Step(**identity, main_sequence=main_sequence, declares=declares, changes=changes)


@cache
def _resolved(step: str, regime: str, ladder: Ladder) -> dict[str, dict[str, Any]]:
    """The same as plain data, to be looked at only."""
    formulas.register()
    composed = _composed(step, regime, ladder)
    parts: dict[str, Any] = {
        part: OmegaConf.to_container(composed[part], resolve=True, enum_to_str=True) for part in ("model", "recipe")
    }
    return parts


def _values(parts: dict[str, dict[str, Any]], *, whole: list[str]) -> dict[str, Any]:
    """Dotted key to value; of a recipe nothing but its name where it is `whole`, all but its name where it is not."""
    values = {f"{part}.{key}": value for part in parts for key, value in parts[part].items()}
    name = values.pop("recipe.name")
    if "recipe" in whole:
        values = {key: value for key, value in values.items() if not key.startswith("recipe.")}
    return values | {group: name for group in whole}


def _names(ladder: Ladder) -> list[str]:
    return sorted(path.stem for path in (CONF / ladder.value).glob("*.yaml"))


def _parent(name: str, ladder: Ladder) -> str | None:
    """The step that a file builds on: the first of its defaults, which it must also call its parent."""
    body, file = _body(name, ladder), f"conf/{ladder.value}/{name}.yaml"
    listed = next((d for d in body.defaults if isinstance(d, str) and d != "_self_"), "resnet")
    stated = OmegaConf.select(body, "step.parent")
    if (OmegaConf.select(body, "step.name"), stated) != (name, listed):
        raise ConfigError(f"{file}: step.name must be {name} and step.parent {listed}, as in its defaults")
    if listed not in (known := ["resnet", *_names(ladder)]):
        raise ConfigError(f"{file}: step.parent={listed}: allowed is one of {' '.join(known)}")
    return listed


def _chain(name: str, parents: dict[str, str | None], ladder: Ladder) -> list[str]:
    chain = [name]
    while (parent := parents[chain[0]]) is not None:
        if parent in chain:
            raise ConfigError(f"conf/{ladder.value}/{name}.yaml: step.parent: a step cannot be its own ancestor")
        chain.insert(0, parent)
    return chain


@cache
def _body(name: str, ladder: Ladder) -> DictConfig:
    """What is in a step's file, to be looked at only."""
    body = _read(f"{ladder.value}/{name}")
    needed = ("name", "parent", "section", "group", "title")
    if "defaults" not in body or any(OmegaConf.select(body, f"step.{key}") is None for key in needed):
        raise ConfigError(f"conf/{ladder.value}/{name}.yaml: needs defaults and step with {', '.join(needed)}")
    return body


def _read(name: str) -> DictConfig:
    try:
        return cast(DictConfig, OmegaConf.load(CONF / f"{name}.yaml"))
    except Exception as error:  # YAML has many ways to be broken; all of them are the file's
        raise ConfigError(f"conf/{name}.yaml: {' '.join(str(error).split())[:200]}") from error


def _natural(text: str) -> list[tuple[int, str]]:
    """A sorting key that takes numbers as numbers."""
    return [(int(part or 0), word) for word, part in re.findall(r"(\D+)(\d*)", text)]

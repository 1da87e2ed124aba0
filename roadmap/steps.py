"""The ladder as data: the rungs in conf/step, their order, and the network of each. Needs neither Hydra nor torch."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.checks import check_model
from roadmap.schema import ConfigError, Init, ModelConfig, StepConfig

_HERE = Path(__file__).resolve().parent
CONF = next(path for path in (_HERE / "conf", _HERE.parent / "conf") if path.is_dir())


@dataclass(frozen=True)
class Step:
    """A rung of the ladder."""

    name: str
    parent: str | None
    section: str
    """Section of the paper."""
    group: str
    title: str
    on_path: bool
    """Whether it lies on the longest chain, of equals the one that is not of section own; the others are side rungs."""
    declares: frozenset[str]
    """Dotted keys that its file sets."""
    changes: dict[str, tuple[Any, Any]]
    """Dotted key to its value before and after, in the regime asked for."""


def regimes() -> list[str]:
    """Names of the sizes of network."""
    return sorted(path.stem for path in (CONF / "regime").glob("*.yaml"))


@cache
def steps(regime: str = "resnet50") -> list[Step]:
    """All rungs in ladder order: by distance from the ResNet, alternatives of one parent by title.

    Raises:
        ConfigError: an unknown regime, or a step file that contradicts itself.
    """
    parents: dict[str, str | None] = {"resnet": None}
    parents |= {name: _parent(name) for name in _names()}
    chains = {name: _chain(name, parents) for name in parents}
    tips = {name: (len(chain), _body(name).step.section != "own") for name, chain in chains.items() if chain[1:]}
    path = chains[max(sorted(tips), key=tips.__getitem__)]
    rungs = [_step(name, parents[name], regime, on_path=name in path) for name in parents]
    return sorted(rungs, key=lambda rung: (len(chains[rung.name]), _natural(rung.title)))


def find(name: str, regime: str = "resnet50") -> Step:
    """The rung of that name.

    Raises:
        ConfigError: naming the rungs there are.
    """
    for rung in steps(regime):
        if rung.name == name:
            return rung
    raise ConfigError(f"step={name}: allowed is one of " + " ".join(rung.name for rung in steps(regime)))


def model_config(step: str = "resnet", regime: str = "resnet50") -> ModelConfig:
    """The network of a rung in a regime, as data.

    Raises:
        ConfigError: an unknown step or regime, or an illegal network.
    """
    find(step, regime)
    model = cast(ModelConfig, OmegaConf.to_object(_composed(step, regime).model))
    check_model(model)
    return model


def initial_weights(step: str = "resnet") -> Init:
    """How the recipe that a rung trains with sets its initial weights."""
    return Init[_read(f"recipe/{_composed(step, 'resnet50').recipe}").init]


@cache
def _composed(step: str, regime: str) -> DictConfig:
    """What a step's chain of files makes of `model` and of the recipe's name."""
    if regime not in regimes():
        raise ConfigError(f"regime={regime}: allowed is one of " + " ".join(regimes()))
    if step == "resnet":
        base = {
            "regime": _read(f"regime/{regime}"),
            "model": OmegaConf.structured(ModelConfig),
            "recipe": "original",
        }
        return cast(DictConfig, OmegaConf.merge(base, {"model": _read("model/resnet")}))
    body = _body(step)
    for default in body.pop("defaults"):
        if isinstance(default, DictConfig) and "override /recipe" in default:
            body["recipe"] = default["override /recipe"]
    try:
        return cast(DictConfig, OmegaConf.merge(_composed(_parent(step) or "resnet", regime), body))
    except OmegaConfBaseException as error:
        raise ConfigError(f"conf/step/{step}.yaml: {str(error).splitlines()[0]}") from error


def _step(name: str, parent: str | None, regime: str, *, on_path: bool) -> Step:
    composed = _composed(name, regime)
    if parent is None:
        own, declares, changes = OmegaConf.structured(StepConfig), frozenset[str](), {}
    else:
        own, before = _body(name).step, _composed(parent, regime)
        declares = frozenset(f"model.{key}" for key in _body(name).get("model", {}))
        declares |= {"recipe"} if composed.recipe != before.recipe or not declares else frozenset()
        changes = {f"model.{k}": (_plain(before.model)[k], v) for k, v in _plain(composed.model).items()}
        changes = {k: pair for k, pair in changes.items() if pair[0] != pair[1]}
        if composed.recipe != before.recipe:
            changes["recipe"] = (before.recipe, composed.recipe)
    identity = {key: own[key] for key in ("name", "parent", "section", "group", "title")}
    return Step(**identity, on_path=on_path, declares=declares, changes=changes)


def _names() -> list[str]:
    return sorted(path.stem for path in (CONF / "step").glob("*.yaml"))


def _parent(name: str) -> str | None:
    """The step that a file builds on: the first of its defaults, which it must also call its parent."""
    body = _body(name)
    listed = next((d for d in body.defaults if isinstance(d, str) and d != "_self_"), "resnet")
    stated = OmegaConf.select(body, "step.parent")
    if (OmegaConf.select(body, "step.name"), stated) != (name, listed):
        raise ConfigError(
            f"conf/step/{name}.yaml: step.name must be {name} and step.parent {listed}, as in its defaults"
        )
    if listed != "resnet" and listed not in _names():
        raise ConfigError(
            f"conf/step/{name}.yaml: step.parent={listed}: allowed is one of resnet " + " ".join(_names())
        )
    return listed


def _chain(name: str, parents: dict[str, str | None]) -> list[str]:
    chain = [name]
    while (parent := parents[chain[0]]) is not None:
        if parent in chain:
            raise ConfigError(f"conf/step/{name}.yaml: step.parent: a step cannot be its own ancestor")
        chain.insert(0, parent)
    return chain


def _body(name: str) -> DictConfig:
    body = _read(f"step/{name}")
    missing = [
        key for key in ("name", "parent", "section", "group", "title") if OmegaConf.select(body, f"step.{key}") is None
    ]
    if missing or "defaults" not in body:
        raise ConfigError(f"conf/step/{name}.yaml: needs defaults and step with name, parent, section, group, title")
    return body


def _read(name: str) -> DictConfig:
    try:
        return cast(DictConfig, OmegaConf.load(CONF / f"{name}.yaml"))
    except Exception as error:  # YAML has many ways to be broken; all of them are the file's
        raise ConfigError(f"conf/{name}.yaml: {' '.join(str(error).split())[:200]}") from error


def _plain(model: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(model, resolve=True, enum_to_str=True))


def _natural(text: str) -> list[tuple[int, str]]:
    """A sorting key that takes numbers as numbers."""
    return [(int(part or 0), word) for word, part in re.findall(r"(\D+)(\d*)", text)]

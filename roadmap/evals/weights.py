"""Networks from files of weights: a run's checkpoint, or a file of torchvision, timm, the authors or their trainers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torchvision
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from roadmap import runs
from roadmap.config.checks import check
from roadmap.config.compose import compose, load, parse
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest, under
from roadmap.config.overrides import parse_overrides
from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS
from roadmap.data.imagenet import wnids
from roadmap.errors import ConfigError, DataError, require
from roadmap.files import sha256
from roadmap.networks.convert import from_library, recognise
from roadmap.networks.ladder import build
from roadmap.networks.weight_files import weights_of

IMAGENET_C = {"crop_pct": 1.0}
"""Options that conf/data/imagenet_c.yaml fixes, whatever a library or a run does with larger images."""


class Loaded(NamedTuple):
    """A network with its weights, and the configuration to evaluate it with."""

    network: nn.Module
    config: Config
    description: str  # source and size of the network
    classes: Sequence[str] = ()  # their names by label, if they are known


def is_checkpoint(content: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint of a run."""
    return "config_hash" in content


def from_checkpoint(path: Path, content: Mapping[str, Any], overrides: list[str], *, ema: bool) -> Loaded:
    """The network of a run's checkpoint, with raw or averaged weights; the run's config.yaml must lie beside it."""
    config = load(path.parent / runs.CONFIG)
    same = digest(to_dict(config)) == content["config_hash"]
    require(same, "weights", path, "a checkpoint beside its own config.yaml")
    network = build(config.model, num_classes=config.data.num_classes, in_chans=config.data.in_chans)
    network.load_state_dict(content["ema" if ema else "model"])
    kind = "averaged" if ema else "raw"
    description = f"{config.step.name} of {config.study.name}, seed {config.seed}, {kind} weights"
    return Loaded(network, overridden(config, overrides), description, _classes(config, content, path.parent))


def _classes(config: Config, content: Mapping[str, Any], run: Path) -> Sequence[str]:
    """Names of a run's classes, as its checkpoint or its result has them."""
    if config.data.name == "imagenet" and config.data.num_classes == len(wnids()):
        return wnids()
    return content.get("classes") or (runs.read_json(run / runs.RESULT) or {}).get("classes") or ()


def from_file(path: Path, content: Mapping[str, Any], overrides: list[str], *, ema: bool) -> Loaded:
    """The network of a library's file. Images are resized as the library does, unless overrides say otherwise.

    One of ImageNet's test sets implies study=imagenet. A DataError if the network is unknown, a ConfigError for bad
    overrides or for images of other channels or classes.
    """
    weights = weights_of(path, content, ema=ema)
    try:
        found = recognise(weights.state)
    except KeyError as error:
        raise DataError(
            f"{path}: {error.args[0]}; its first keys: {', '.join(weights.first_keys) or 'none'}"
        ) from error
    try:
        state = from_library(weights.state, found.library, step=found.step, model=found.model)
        network = build(found.model, num_classes=found.num_classes, in_chans=found.in_chans)
        network.load_state_dict(state)
    except (KeyError, RuntimeError, AttributeError, IndexError, TypeError) as error:
        lines = [str(error.args[0])] if isinstance(error, KeyError) else str(error).splitlines()[:2]
        raise DataError(f"{path}: {' '.join(map(str.strip, lines)) or type(error).__name__}") from error
    depths = ", ".join(map(str, found.model.depths))
    description = f"{found.step} of depths {depths} and width {found.model.width}, layers named as in {found.library}"
    description += f", weights in {weights.place}" if weights.place else ""
    defaults = {"recipe.interpolation": "bilinear" if found.library == "torchvision" else "bicubic"}
    if entry := published(path):
        crop, resize = (getattr(entry.transforms(), size)[0] for size in ("crop_size", "resize_size"))
        defaults["data.crop_pct"] = f"{crop / (resize + 0.5)}"  # img_size / crop_pct is rounded down
    given = parse_overrides(overrides)
    if given.get("data") in TEST_SETS:
        defaults["study"] = "imagenet"
    if given.get("data") == "imagenet_c":
        defaults.pop("data.crop_pct", None)  # see IMAGENET_C
    config = compose([*(f"{key}={value}" for key, value in defaults.items() if key not in given), *overrides])
    for key in ("num_classes", "in_chans"):
        here, known = getattr(config.data, key), getattr(found, key)
        hint = "; for ImageNet: study=imagenet" if known == 1000 else ""
        require(here == known, f"data.{key}", here, f"{known}, as in the weights{hint}")
    known = wnids() if config.data.name == "imagenet" and found.num_classes == len(wnids()) else ()
    return Loaded(network, config, description, known)


def overridden(config: Config, overrides: list[str]) -> Config:
    """The configuration of a run with overrides of data, data.root and training.*; a ConfigError for any other."""
    given = parse_overrides(overrides)
    for key in given:
        allowed = key == "data" or under(key, ("data.root", "training"))
        require(allowed, key, given[key], "data.root and training.* for a checkpoint of a run")
    plain = to_dict(config)
    if test := given.get("data"):
        fits = test in TEST_SETS and config.data.name == "imagenet"
        require(fits, "data", test, f"one of {' '.join(TEST_SETS)}, for a run on imagenet")
        require("data.root" in given, "data.root", "", f"the folder of {test}")
        plain["data"] |= {
            "name": test,
            "max_test": None,
            "holdout": 0.0,
            **(IMAGENET_C if test == "imagenet_c" else {}),
        }
    dotted = [word for word in overrides if not word.startswith("data=")]
    try:
        merged = OmegaConf.to_container(OmegaConf.merge(plain, OmegaConf.from_dotlist(dotted)))
        config = parse(cast(dict[str, Any], merged))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from error
    check(config)
    return config


def published(path: Path) -> Any | None:
    """torchvision's entry for a file, known by its SHA-256, with transforms and accuracy; None for other files."""
    name = sha256(path)[:8]
    networks = torchvision.models.list_models(torchvision.models)
    entries = (entry for network in networks for entry in torchvision.models.get_model_weights(network))
    return next((entry for entry in entries if f"-{name}." in entry.url), None)

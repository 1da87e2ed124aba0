"""Networks out of files of weights: our own checkpoints, and those of torchvision, timm and the paper's authors."""

import hashlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
import torchvision
from torch import nn

from roadmap import runs
from roadmap.config.compose import load, to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Config
from roadmap.errors import DataError, require
from roadmap.networks.convert import from_library, recognise
from roadmap.networks.ladder import build

NETWORKS = ("resnet50", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
"""Networks of torchvision whose files carry their hash in their names, and their accuracy in torchvision's tables."""


class Loaded(NamedTuple):
    """A network with its weights."""

    network: nn.Module
    words: str
    """Whose, and of what size."""
    num_classes: int
    in_chans: int
    options: list[str]
    """How its library resizes images for it, in words for `compose`."""


def read(path: Path) -> Mapping[str, Any]:
    """A file of weights, without running code from it; a `model` inside, as the authors have it, is taken out.

    Raises:
        DataError: it is missing or damaged, or holds more than tensors and plain data.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of a pickle that is no file of its own
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        raise DataError(f"{path}: {_no_weights(path, error)}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: not a file of weights: it holds a {type(content).__name__}")
    own = "config_hash" in content
    return content if own or "model" not in content else content["model"]


def from_checkpoint(path: Path, content: Mapping[str, Any], *, ema: bool) -> tuple[Loaded, Config]:
    """The network of a run's checkpoint, raw or averaged, and the run's configuration.

    Raises:
        ConfigError: the configuration beside it is missing, or that of another run.
    """
    config = load(path.parent / runs.CONFIG)
    require(
        digest(to_dict(config)) == content["config_hash"], "weights", path, "a checkpoint beside its own config.yaml"
    )
    data = config.data
    network = build(config.model, num_classes=data.num_classes, in_chans=data.in_chans)
    network.load_state_dict(content["ema" if ema else "model"])
    words = f"{config.step.name} of {config.study.name}, seed {config.seed}, {'averaged' if ema else 'raw'} weights"
    return Loaded(network, words, data.num_classes, data.in_chans, []), config


def from_file(path: Path, content: Mapping[str, Any]) -> Loaded:
    """The network of a library's file.

    Raises:
        DataError: it is of none of the networks that are known.
    """
    try:
        found = recognise(content)
        state = from_library(content, found.library, step=found.step, model=found.model)
        network = build(found.model, num_classes=found.num_classes, in_chans=found.in_chans)
        network.load_state_dict(state)
    except (KeyError, RuntimeError, AttributeError, IndexError, TypeError) as error:
        raise DataError(f"{path}: {error.args[0] if isinstance(error, KeyError) else _words(error)}") from error
    depths = ", ".join(map(str, found.model.depths))
    words = f"{found.step} of depths {depths} and width {found.model.width}, layers named as in {found.library}"
    options = [f"recipe.interpolation={'bilinear' if found.library == 'torchvision' else 'bicubic'}"]
    if known := published(path):
        crop, resize = (getattr(known.transforms(), size)[0] for size in ("crop_size", "resize_size"))
        options.append(f"data.crop_pct={crop / (resize + 0.5)}")  # img_size / crop_pct is rounded down
    return Loaded(network, words, found.num_classes, found.in_chans, options)


def published(path: Path) -> Any | None:
    """torchvision's own entry for a file, known by its SHA-256, with transforms and accuracy; None for other files."""
    with path.open("rb") as stream:
        name = hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    entries = (entry for network in NETWORKS for entry in torchvision.models.get_model_weights(network))
    return next((entry for entry in entries if f"-{name}." in entry.url), None)


def _no_weights(path: Path, error: Exception) -> str:
    """Why a file could not be read as weights; torch's own advice, to load it with the code in it, is not passed on."""
    if path.stat().st_size == 0:
        return "not a file of weights: it is empty"
    with path.open("rb") as stream:
        pickled = stream.read(1) == b"\x80" or zipfile.is_zipfile(stream)
    if isinstance(error, UnpicklingError) and pickled:
        return "it holds code or a whole model, which is not loaded: save its state_dict()"
    return "not a file of weights, or a damaged one"


def _words(error: Exception) -> str:
    """The first two lines of an error, or its name."""
    return " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__

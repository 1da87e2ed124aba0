"""Files of weights as trainers write them: read without running code from them, and unwrapped to a state dict."""

import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from roadmap.config.schema import Config
from roadmap.errors import DataError, require, shortage
from roadmap.files import sha256
from roadmap.networks.convert import from_library, recognise
from roadmap.networks.ladder import build

WEIGHTS = ("state_dict", "model", "model_state_dict", "module", "net")
"""Keys under which trainers save weights (timm and Lightning, torchvision and the authors, ...), in this order."""
AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict")
"""Keys under which they save an exponential moving average of them."""
HEAD = "head.linear."  # our name of the classifier
SAFE: list[Any] = [
    Namespace,
    *((PurePosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),  # pure: they open no file
    *((PureWindowsPath, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
    *((numpy.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    numpy.dtype,
    *(type(numpy.dtype(code)) for code in numpy.typecodes["AllInteger"] + numpy.typecodes["Float"] + "?"),
]
"""What trainers save beside weights: options, paths, numbers. Unpickling them only stores values."""


class Weights(NamedTuple):
    """A state dict from a file."""

    state: Mapping[str, Tensor]  # without prefixes such as `module.` and `_orig_mod.`
    place: str  # where in the file it was, for people: "model_ema, an average"
    first_keys: list[str]  # as written there


def read(path: Path) -> Mapping[str, Any]:
    """The content of a file of weights; nothing but tensors, plain data and `SAFE` is unpickled.

    A DataError says why a file is no file of weights; of a pickle with other classes, it names them.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(SAFE):
            warnings.simplefilter("ignore")  # about pickles that torch did not write
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file fails in many ways
        if shortage(error):
            raise
        raise DataError(f"{path}: {_why(path, error)}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: not a file of weights: it holds a {type(content).__name__}")
    return content


def weights_of(path: Path, content: Mapping[str, Any], *, ema: bool = False) -> Weights:
    """The weights in the content of a file, or with `ema` their average; a DataError if it has none."""
    parts = {key: part for key, part in content.items() if isinstance(part, Mapping)}
    average, raw = (next((key for key in keys if key in parts), None) for keys in (AVERAGES, WEIGHTS))
    if ema and average is None:
        raise DataError(f"{path}: ema=true, but it has no average of weights: its first keys are {_listed(content)}")
    if not ema and raw is None and average is not None:
        raise DataError(f"{path}: it has only an average of weights, {average}: ema=true takes it")
    place = average if ema else raw
    found = content if place is None else parts[place]
    while inner := next((found[key] for key in WEIGHTS if isinstance(found.get(key), Mapping)), None):
        found = inner
    state = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    said = "" if place is None else f"{place}, an average" if ema else place
    return Weights(_without_prefix(state), said, [*map(str, found)][:3])


def initial_weights(config: Config) -> tuple[dict[str, Tensor], str]:
    """The weights of recipe.init_weights by our names, and a line about them; with other classes, without the head.

    A ConfigError if the file is not the one that the run was composed with, a DataError if it is of another network.
    """
    path = Path(config.recipe.init_weights or "").expanduser()
    if path.is_file():  # `read` says why if it is not
        key, wanted = "recipe.init_weights", config.recipe.init_sha256
        require(sha256(path) == wanted, key, path, f"the file of this run, with SHA-256 {wanted}")
    weights, data = weights_of(path, read(path)), config.data
    try:
        found = recognise(weights.state)
        there: Mapping[str, Tensor] = from_library(weights.state, found.library, step=found.step, model=found.model)
    except KeyError:  # by our own names, or of another network, which is told below
        there = weights.state
    with torch.device("meta"):
        here = build(config.model, num_classes=data.num_classes, in_chans=data.in_chans).state_dict()
    new = [key for key in here if key.startswith(HEAD) and key in there and _classes_differ(there[key], here[key])]
    for key in [*here, *there]:
        shapes = [tuple(state[key].shape) if key in state else "none" for state in (there, here)]
        if shapes[0] != shapes[1] and key not in new:
            raise DataError(
                f"{path}: not the weights of {config.step.name}: {key} is {shapes[0]} there, {shapes[1]} here"
            )
    head = f"a new head: {len(there[new[0]])} classes there, {data.num_classes} here" if new else "with its head"
    said = f"starts from {path}{f', weights in {weights.place}' if weights.place else ''}, {head}"
    return {key: value for key, value in there.items() if key not in new}, said


def _classes_differ(there: Tensor, here: Tensor) -> bool:
    """Whether two tensors of a classifier differ in the number of classes alone."""
    return len(there) != len(here) and there.shape[1:] == here.shape[1:]


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without the prefix that all its keys share, and without an average's counter of updates."""
    state = {key: value for key, value in state.items() if key != "n_averaged"}
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: value for key, value in state.items()}
    return state


def _why(path: Path, error: Exception) -> str:
    """Why a file cannot be read."""
    if path.stat().st_size == 0:
        return "not a file of weights: it is empty"
    with path.open("rb") as stream:
        pickled = stream.read(1) == b"\x80" or zipfile.is_zipfile(stream)
    if not (isinstance(error, UnpicklingError) and pickled):
        return "not a file of weights, or a damaged one"
    try:
        with torch.serialization.safe_globals(SAFE):
            classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # written before torch 1.6
        classes = []
    named = f" (found: {_listed(sorted(classes))})" if classes else ""
    return f"it holds code or a whole model, which is not loaded: save its state_dict(){named}"


def _listed(keys: Any, most: int = 3) -> str:
    """The first few of some keys."""
    names = [str(key) for key in keys]
    return f"{', '.join(names[:most]) or 'none'}{' ...' if len(names) > most else ''}"

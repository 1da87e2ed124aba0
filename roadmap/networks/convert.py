"""Weights of other libraries for steps that they have as well: ResNets with bottlenecks and ConvNeXts of any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import yaml
from torch import Tensor

from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config
from roadmap.config.yaml_files import CONF
from roadmap.errors import require
from roadmap.networks.ladder import build

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """A library's names of our layers. Templates may use `block` and `stage`, from 0, and `next` = stage + 1,
    `even` = 2 * stage, `odd` = 2 * stage + 1."""

    ends: dict[str, str]  # stem and head: the first is the conv that sets the width, the last the classifier
    block: str
    layers: dict[str, str]
    downsample: str = ""
    downsample_layers: tuple[str, str] = ("0", "1")  # norm and conv
    scale_shape: Sequence[int] = (-1,)  # shape of a layer scale

    def name(self, key: str) -> str:
        """The library's name for a key of our state dict."""
        part, _, rest = key.partition(".")
        if part not in ("stages", "downsamples"):
            return _renamed(key, self.ends)
        number, _, rest = rest.partition(".")
        if part == "downsamples":
            norm, conv = self.downsample_layers
            layer = _renamed(rest, {"norm": norm, "downsample_conv": conv})
            return _filled(self.downsample, int(number)) + layer
        block, _, layer = rest.partition(".")
        return _filled(self.block, int(number), block) + _renamed(layer, self.layers)

    def depth(self, state: State, stage: int) -> int:
        """Number of blocks of a stage in a state dict."""
        prefix = _filled(self.block.partition("{block}")[0], stage)
        numbers = [key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)]
        return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


def _read_layouts() -> dict[tuple[str, str], Layout]:
    found: dict[tuple[str, str], Layout] = {}
    for entry in yaml.safe_load((CONF.with_name("reference") / "layouts.yaml").read_text()):
        step, libraries = entry.pop("step"), entry.pop("libraries")
        found |= {(step, library): Layout(**entry) for library in libraries}
    return found


LAYOUTS = _read_layouts()
"""By step and library, from roadmap/reference/layouts.yaml."""


class Recognised(NamedTuple):
    step: str
    library: str
    model: ModelConfig
    num_classes: int
    in_chans: int


def recognise(state: State) -> Recognised:
    """What a state dict belongs to, by the first of libraries that share names (KeyError: an unknown network)."""
    for (step, library), layout in LAYOUTS.items():
        stem, head = (state.get(f"{list(layout.ends.values())[end]}.weight") for end in (0, -1))
        depths = [layout.depth(state, stage) for stage in range(4)]
        last = f"{_filled(layout.block, 0, '0')}{layout.layers['branch.pw_stream']}.weight"
        bottleneck = last in state  # basic blocks have no third conv
        if stem is not None and head is not None and all(depths) and bottleneck:
            model = replace(model_config(step), depths=depths, width=stem.shape[0])
            return Recognised(step, library, model, head.shape[0], stem.shape[1])
    expected: dict[str, list[str]] = {}
    for (_, library), layout in LAYOUTS.items():
        expected.setdefault(f"{next(iter(layout.ends.values()))}.weight", []).append(library)
    named = ", ".join(f"{key} ({' or '.join(libraries)})" for key, libraries in expected.items())
    raise KeyError(f"not the weights of a ResNet with bottlenecks or of a ConvNeXt, which begin with one of {named}")


def from_library(state: State, library: str, *, step: str, model: ModelConfig) -> dict[str, Tensor]:
    """The state dict of a library's network of a step as one of ours.

    A KeyError names keys that are missing or not expected; a ConfigError if the library has no such step.
    """
    names = library_names(library, step=step, model=model)
    expected = set(names.values())
    counters = [key for key in expected - state.keys() if key.endswith("num_batches_tracked")]  # unknown to torch 0.4
    state = {**state, **dict.fromkeys(counters, torch.tensor(0))}
    differ = {"missing": sorted(expected - state.keys()), "not expected": sorted(state.keys() - expected)}
    if any(differ.values()):
        listed = (f"{word}: {', '.join(keys[:3])} ({len(keys)} in all)" for word, keys in differ.items() if keys)
        raise KeyError("; ".join(listed))
    return {ours: _converted(ours, state[theirs]) for ours, theirs in names.items()}


def library_names(library: str, *, step: str, model: ModelConfig) -> dict[str, str]:
    """The library's key for every key of our state dict (ConfigError: the library has no such step)."""
    allowed = ", ".join(f"{step} of {library}" for step, library in LAYOUTS)
    require((step, library) in LAYOUTS, "step", f"{step} of {library}", f"one of {allowed}")
    with torch.device("meta"):
        keys = build(model, num_classes=1000, in_chans=3).state_dict().keys()
    return {key: LAYOUTS[step, library].name(key) for key in keys}


def _filled(template: str, stage: int, block: str = "") -> str:
    return template.format(stage=stage, next=stage + 1, even=2 * stage, odd=2 * stage + 1, block=block)


def _renamed(key: str, names: dict[str, str]) -> str:
    """`key` renamed as a whole, or the layer name before its last part renamed."""
    if key in names:
        return names[key]
    name, _, parameter = key.rpartition(".")
    return f"{names[name]}.{parameter}"


def _converted(ours: str, value: Tensor) -> Tensor:
    """Other libraries' ConvNeXts have linear layers for pointwise convs, and layer scales of other shapes."""
    if ours.endswith(("pw_hidden.weight", "pw_stream.weight")):
        return value.reshape(*value.shape[:2], 1, 1)
    return value.flatten() if ours.endswith("gamma") else value

"""Weights to and from other libraries' networks, for the two ends of the ladder: ResNet and ConvNeXt of any size."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config
from roadmap.errors import ConfigError
from roadmap.networks.create import build

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """What a library calls our layers. Templates know stage and block, counted from 0; next = stage + 1 and so on."""

    ends: dict[str, str]
    """Stem and head: the first is the conv that sets the width, the last the classifier."""
    block: str
    layers: dict[str, str]
    downsample: str = ""
    downsample_layers: tuple[str, str] = ("0", "1")
    """Norm and conv."""
    scale_shape: tuple[int, ...] = (-1,)
    """Of a layer scale."""

    def name(self, key: str) -> str:
        """The library's name for a key of ours."""
        part, _, rest = key.partition(".")
        if part not in ("stages", "downsamples"):
            return _replace(key, self.ends)
        number, _, rest = rest.partition(".")
        stage = int(number)
        words = {"stage": stage, "next": stage + 1, "even": 2 * stage, "odd": 2 * stage + 1}
        if part == "downsamples":
            norm, conv = self.downsample_layers
            return self.downsample.format(**words) + _replace(rest, {"norm": norm, "downsample_conv": conv})
        block, _, layer = rest.partition(".")
        return self.block.format(block=block, **words) + _replace(layer, self.layers)


def _convnext(ends: str, block: str, layers: str, downsample: str, scale_shape: tuple[int, ...] = (-1,)) -> Layout:
    ours = "branch.dwconv branch.norm branch.pw_hidden branch.pw_stream branch.layer_scale.gamma"
    stem_and_head = "stem.patchify stem.norm head.norm head.linear"
    return Layout(
        dict(zip(stem_and_head.split(), ends.split(), strict=True)),
        block,
        dict(zip(ours.split(), layers.split(), strict=True)),
        downsample,
        scale_shape=scale_shape,
    )


RESNET = Layout(
    {"stem.stem_conv": "conv1", "stem.norm": "bn1", "head.linear": "fc"},
    "layer{next}.{block}.",
    {
        "branch.pw_hidden": "conv1",
        "branch.norm": "bn1",
        "branch.conv": "conv2",
        "branch.norm_2": "bn2",
        "branch.pw_stream": "conv3",
        "branch.norm_3": "bn3",
        "shortcut.0": "downsample.0",
        "shortcut.1": "downsample.1",
    },
)
LAYOUTS = {
    ("resnet", "torchvision"): RESNET,
    ("resnet", "timm"): RESNET,
    ("layer_scale", "torchvision"): _convnext(
        "features.0.0 features.0.1 classifier.0 classifier.2",
        "features.{odd}.{block}.",
        "block.0 block.2 block.3 block.5 layer_scale",
        "features.{even}.",
        scale_shape=(-1, 1, 1),
    ),
    ("layer_scale", "timm"): _convnext(
        "stem.0 stem.1 head.norm head.fc",
        "stages.{stage}.blocks.{block}.",
        "conv_dw norm mlp.fc1 mlp.fc2 gamma",
        "stages.{stage}.downsample.",
    ),
    ("layer_scale", "authors"): _convnext(
        "downsample_layers.0.0 downsample_layers.0.1 norm head",
        "stages.{stage}.{block}.",
        "dwconv norm pwconv1 pwconv2 gamma",
        "downsample_layers.{stage}.",
    ),
}
"""By rung and library; `authors`: the files that the paper's authors released."""


class Recognised(NamedTuple):
    """What a file of weights turns out to be."""

    step: str
    library: str
    model: ModelConfig
    num_classes: int
    in_chans: int


def recognise(state: State) -> Recognised:
    """Whose network, and of what size, a state dict belongs to; of libraries with the same names, the first.

    Raises:
        KeyError: it is none that is known.
    """
    for (step, library), layout in LAYOUTS.items():
        stem, head = (state.get(f"{list(layout.ends.values())[end]}.weight") for end in (0, -1))
        depths = [_depth(state, layout, stage) for stage in range(4)]
        block = layout.block.format(stage=0, next=1, even=0, odd=1, block=0)
        whole = f"{block}{layout.layers['branch.pw_stream']}.weight" in state  # a ResNet of basic blocks has no third
        if stem is not None and head is not None and all(depths) and whole:
            model = replace(model_config(step), depths=depths, width=stem.shape[0])
            return Recognised(step, library, model, head.shape[0], stem.shape[1])
    known = ", ".join(dict.fromkeys(library for _, library in LAYOUTS))
    raise KeyError(f"not the weights of a ResNet with bottlenecks or of a ConvNeXt as they are named in: {known}")


def to_library(state: State, library: str, *, step: str, model: ModelConfig) -> dict[str, Tensor]:
    """A state dict of ours as that of a library's ResNet (step resnet) or ConvNeXt (layer_scale).

    Raises:
        KeyError: keys that are missing or not expected.
        ConfigError: the library does not have the step.
    """
    names = library_names(library, step=step, model=model)
    _compare(state.keys(), names.keys())
    shape = LAYOUTS[step, library].scale_shape
    return {theirs: _their_form(ours, state[ours], step, shape) for ours, theirs in names.items()}


def from_library(state: State, library: str, *, step: str, model: ModelConfig) -> dict[str, Tensor]:
    """The reverse of `to_library`.

    Raises:
        KeyError: keys that are missing or not expected.
        ConfigError: the library does not have the step.
    """
    names = library_names(library, step=step, model=model)
    _compare(state.keys(), names.values())
    return {ours: _our_form(ours, state[theirs]) for ours, theirs in names.items()}


def library_names(library: str, *, step: str, model: ModelConfig) -> dict[str, str]:
    """Every key of our state dict with the library's key for it.

    Raises:
        ConfigError: the library does not have the step.
    """
    layout = LAYOUTS.get((step, library))
    if layout is None:
        allowed = ", ".join(f"{step} of {library}" for step, library in LAYOUTS)
        raise ConfigError(f"step={step} of {library}: allowed is one of {allowed}")
    with torch.device("meta"):
        keys = build(model, num_classes=1000, in_chans=3).state_dict().keys()
    return {key: layout.name(key) for key in keys}


def _depth(state: State, layout: Layout, stage: int) -> int:
    """Blocks of a stage."""
    prefix = layout.block.partition("{block}")[0].format(stage=stage, next=stage + 1, even=2 * stage, odd=2 * stage + 1)
    numbers = [key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


def _replace(key: str, names: dict[str, str]) -> str:
    """`key` with the name that stands before its last part, or makes up all of it, replaced."""
    if key in names:
        return names[key]
    name, _, parameter = key.rpartition(".")
    return f"{names[name]}.{parameter}"


def _their_form(ours: str, value: Tensor, step: str, scale_shape: tuple[int, ...]) -> Tensor:
    """The libraries' ConvNeXt has linear layers for pointwise convs."""
    if step == "layer_scale" and ours.endswith(("pw_hidden.weight", "pw_stream.weight")):
        return value.flatten(1)
    return value.reshape(scale_shape) if ours.endswith("gamma") else value


def _our_form(ours: str, value: Tensor) -> Tensor:
    if ours.endswith(("pw_hidden.weight", "pw_stream.weight")):
        return value.reshape(*value.shape[:2], 1, 1)
    return value.flatten() if ours.endswith("gamma") else value


def _compare(given: Iterable[str], wanted: Iterable[str]) -> None:
    there, expected = set(given), set(wanted)
    if there != expected:
        missing, extra = sorted(expected - there), sorted(there - expected)
        named = {"missing": missing, "not expected": extra}
        told = (f"{what}: {', '.join(keys[:3])} ({len(keys)} in all)" for what, keys in named.items() if keys)
        raise KeyError("; ".join(told))

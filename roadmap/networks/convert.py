"""Weights of other libraries for the two ends of the ladder: ResNets with bottlenecks and ConvNeXts of any size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config
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
    scale_shape: tuple[int, ...] = (-1,)  # shape of a layer scale

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


def _convnext(ends: str, block: str, layers: str, downsample: str, scale_shape: tuple[int, ...] = (-1,)) -> Layout:
    stem_and_head = ["stem.patchify", "stem.norm", "head.norm", "head.linear"]
    ours = ["branch.dwconv", "branch.norm", "branch.pw_hidden", "branch.pw_stream", "branch.layer_scale.gamma"]
    named = dict(zip(stem_and_head, ends.split(), strict=True))
    return Layout(named, block, dict(zip(ours, layers.split(), strict=True)), downsample, scale_shape=scale_shape)


RESNET = Layout(
    {"stem.stem_conv": "conv1", "stem.norm": "bn1", "head.linear": "fc"},
    "layer{next}.{block}.",
    {"branch.pw_hidden": "conv1", "branch.conv": "conv2", "branch.pw_stream": "conv3"}
    | {"branch.norm": "bn1", "branch.norm_2": "bn2", "branch.norm_3": "bn3"}
    | {"shortcut.0": "downsample.0", "shortcut.1": "downsample.1"},
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
"""By step and library; `authors`: the files that the paper's authors released."""


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
    """The state dict of a library's ResNet (step resnet) or ConvNeXt (layer_scale) as one of ours.

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

"""Weights to and from torchvision, for the two ends of the ladder that torchvision has: resnet and layer_scale."""

from collections.abc import Iterable

import torch
from torch import Tensor

from roadmap.checks import require
from roadmap.model.create import create_model

# Our words in a block -> torchvision's name of the layer.
RESNET_BLOCK = {
    "branch.pw_hidden": "conv1",
    "branch.norm": "bn1",
    "branch.conv": "conv2",
    "branch.norm_2": "bn2",
    "branch.pw_stream": "conv3",
    "branch.norm_3": "bn3",
    "shortcut.0": "downsample.0",
    "shortcut.1": "downsample.1",
}
CONVNEXT_BLOCK = {
    "branch.dwconv": "block.0",
    "branch.norm": "block.2",
    "branch.pw_hidden": "block.3",
    "branch.pw_stream": "block.5",
    "branch.layer_scale.gamma": "layer_scale",
}


def to_torchvision(state: dict[str, Tensor], *, step: str, regime: str = "resnet50") -> dict[str, Tensor]:
    """A state dict of ours as one of torchvision's resnet50 (resnet) or convnext_tiny / convnext_base (layer_scale).

    Raises:
        KeyError: keys that are missing or not expected.
    """
    names = torchvision_names(step, regime)
    _compare(state.keys(), names.keys())
    return {theirs: state[ours].reshape(_their_shape(theirs, state[ours])) for ours, theirs in names.items()}


def from_torchvision(state: dict[str, Tensor], *, step: str, regime: str = "resnet50") -> dict[str, Tensor]:
    """The reverse of `to_torchvision`.

    Raises:
        KeyError: keys that are missing or not expected.
    """
    names = torchvision_names(step, regime)
    _compare(state.keys(), names.values())
    shapes = {key: value.shape for key, value in _skeleton(step, regime).items()}
    return {ours: state[theirs].reshape(shapes[ours]) for ours, theirs in names.items()}


def torchvision_names(step: str, regime: str = "resnet50") -> dict[str, str]:
    """Every key of our state dict with torchvision's key for it.

    Raises:
        ConfigError: a step that torchvision does not have.
    """
    require(step in ("resnet", "layer_scale"), "step", step, "resnet or layer_scale, the networks torchvision has")
    rename = _resnet_name if step == "resnet" else _convnext_name
    return {key: rename(key) for key in _skeleton(step, regime)}


def _resnet_name(key: str) -> str:
    if key.startswith("stages."):
        _, stage, block, layer = key.split(".", 3)
        return f"layer{int(stage) + 1}.{block}.{_replace(layer, RESNET_BLOCK)}"
    return _replace(key, {"stem.stem_conv": "conv1", "stem.norm": "bn1", "head.linear": "fc"})


def _convnext_name(key: str) -> str:
    if key.startswith("stages."):
        _, stage, block, layer = key.split(".", 3)
        return f"features.{2 * int(stage) + 1}.{block}.{_replace(layer, CONVNEXT_BLOCK)}"
    if key.startswith("downsamples."):
        _, stage, layer = key.split(".", 2)
        return f"features.{2 * int(stage)}.{_replace(layer, {'norm': '0', 'downsample_conv': '1'})}"
    ends = {"stem.patchify": "features.0.0", "stem.norm": "features.0.1"}
    return _replace(key, ends | {"head.norm": "classifier.0", "head.linear": "classifier.2"})


def _replace(key: str, names: dict[str, str]) -> str:
    """`key` with the name that stands before its last part, or makes up all of it, replaced."""
    if key in names:
        return names[key]
    name, _, parameter = key.rpartition(".")
    return f"{names[name]}.{parameter}"


def _their_shape(theirs: str, value: Tensor) -> torch.Size:
    """torchvision's ConvNeXt has linear layers for pointwise convs, and (C, 1, 1) layer scales."""
    if theirs.endswith(("block.3.weight", "block.5.weight")):
        return value.shape[:2]
    return torch.Size((*value.shape, 1, 1)) if theirs.endswith("layer_scale") else value.shape


def _skeleton(step: str, regime: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return create_model(step, regime).state_dict()


def _compare(given: Iterable[str], wanted: Iterable[str]) -> None:
    there, expected = set(given), set(wanted)
    if there != expected:
        missing, extra = sorted(expected - there), sorted(there - expected)
        raise KeyError(f"missing: {missing[:3]} ({len(missing)}), not expected: {extra[:3]} ({len(extra)})")

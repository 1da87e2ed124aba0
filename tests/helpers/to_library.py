"""The reverse of `roadmap.networks.convert.from_library`."""

from collections.abc import Mapping

from torch import Tensor

from roadmap.config.schema import ModelConfig
from roadmap.networks.convert import LAYOUTS, library_names


def to_library(state: Mapping[str, Tensor], library: str, *, step: str, model: ModelConfig) -> dict[str, Tensor]:
    """A state dict of ours as that of a library's ResNet (step resnet) or ConvNeXt (layer_scale)."""
    shape = LAYOUTS[step, library].scale_shape
    converted = {}
    for ours, theirs in library_names(library, step=step, model=model).items():
        value = state[ours]
        if step == "layer_scale" and ours.endswith(("pw_hidden.weight", "pw_stream.weight")):
            value = value.flatten(1)  # pointwise convs are linear layers there
        converted[theirs] = value.reshape(shape) if ours.endswith("gamma") else value
    return converted

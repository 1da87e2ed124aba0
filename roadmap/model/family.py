"""The released ConvNeXts by name: the last rung of the ladder at five sizes (section 3 of the paper)."""

from dataclasses import replace

from roadmap.schema import ConfigError, ModelConfig
from roadmap.steps import model_config

SIZES = {
    "convnext_tiny": ([3, 3, 9, 3], 96),
    "convnext_small": ([3, 3, 27, 3], 96),
    "convnext_base": ([3, 3, 27, 3], 128),
    "convnext_large": ([3, 3, 27, 3], 192),
    "convnext_xlarge": ([3, 3, 27, 3], 256),
}
"""Name to depths and width."""


def family_config(name: str) -> ModelConfig:
    """The network of that name, as data.

    Raises:
        ConfigError: naming those there are.
    """
    if name not in SIZES:
        raise ConfigError(f"model={name}: allowed is one of {' '.join(SIZES)}")
    depths, width = SIZES[name]
    return replace(model_config("layer_scale"), depths=depths, width=width)

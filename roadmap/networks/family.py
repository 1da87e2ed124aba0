"""The paper's other networks by name: ConvNeXt at five sizes (Table 1) and isotropic ConvNeXt at three (Table 2)."""

from dataclasses import replace

from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config
from roadmap.errors import ConfigError

SIZES = {
    "convnext_tiny": ([3, 3, 9, 3], 96),
    "convnext_small": ([3, 3, 27, 3], 96),
    "convnext_base": ([3, 3, 27, 3], 128),
    "convnext_large": ([3, 3, 27, 3], 192),
    "convnext_xlarge": ([3, 3, 27, 3], 256),
    "convnext_isotropic_small": ([18], 384),
    "convnext_isotropic_base": ([18], 768),
    "convnext_isotropic_large": ([36], 1024),
}
"""Name to depths and width."""


def family_config(name: str) -> ModelConfig:
    """The network of that name, as data.

    ConvNeXt is the last rung of the ladder; isotropic ConvNeXt (section 3.3) has one stage of its blocks, without layer
    scale, on patches of 16 pixels.

    Raises:
        ConfigError: naming those there are.
    """
    if name not in SIZES:
        raise ConfigError(f"model={name}: allowed is one of {' '.join(SIZES)}")
    depths, width = SIZES[name]
    if len(depths) > 1:
        return replace(model_config("layer_scale"), depths=depths, width=width)
    blocks = model_config("separate_downsampling")
    return replace(blocks, stem=["patchify"], downsample=[], patch_size=16, depths=depths, width=width)

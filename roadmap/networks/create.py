"""Networks by name."""

import torch
from torch import nn

from roadmap.config.schema import Init, ModelConfig
from roadmap.config.steps import initial_weights, model_config
from roadmap.networks.ladder import Network, initialize


def create_model(
    step: str = "resnet",
    regime: str = "resnet50",
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    drop_path: float = 0.0,
) -> nn.Module:
    """The network of a rung: (N, in_chans, H, W) -> (N, num_classes), weights in channels_last.

    Args:
        step: a rung of the ladder, see `roadmap.config.steps`.
        regime: resnet50, resnet200, micro or nano.
        num_classes: outputs.
        in_chans: channels of the input.
        drop_path: stochastic depth of the last block, linear from 0 at the first (Huang et al., arXiv 1603.09382).

    Raises:
        ConfigError: an unknown step or regime.
    """
    model, init = model_config(step, regime), initial_weights(step)
    return build(model, num_classes=num_classes, in_chans=in_chans, drop_path=drop_path, init=init)


def build(
    model: ModelConfig,
    *,
    num_classes: int,
    in_chans: int,
    drop_path: float = 0.0,
    init: Init = Init.torch,
    channels_last: bool = True,
) -> Network:
    """The network that a model's data describe."""
    network = Network(model, num_classes=num_classes, in_chans=in_chans, drop_path=drop_path)
    network.apply(lambda module: initialize(module, init))
    return network.to(memory_format=torch.channels_last) if channels_last else network

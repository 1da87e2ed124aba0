"""What a network costs: parameters and multiply-adds, counted and not measured."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from roadmap.config.schema import ModelConfig
from roadmap.networks.create import build


class Cost(NamedTuple):
    """The size of a network and of one forward pass."""

    params: int
    macs: int
    """Multiply-adds of convolutions and linear layers for one image; what the field prints as FLOPs."""


def cost(model: ModelConfig, *, num_classes: int = 1000, in_chans: int = 3, img_size: int = 224) -> Cost:
    """Parameters, and multiply-adds for one (in_chans, img_size, img_size) image, without computing anything."""
    with torch.device("meta"), torch.no_grad():
        network = build(model, num_classes=num_classes, in_chans=in_chans).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, in_chans, img_size, img_size))
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)

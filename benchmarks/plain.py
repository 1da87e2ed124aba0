"""A network as torch alone computes it, which the fast layers are held against: same weights, ordinary convs, NCHW."""

import copy

import torch
from torch import nn


def plain(network: nn.Module) -> nn.Module:
    """A copy in which every conv is torch's own and every weight is in torch's default layout."""
    twin = copy.deepcopy(network)
    for module in twin.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return twin.to(memory_format=torch.contiguous_format)

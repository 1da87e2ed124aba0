"""Networks compiled by torch, where it is worth the time that it takes before the first step."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from roadmap.config.schema import Config, Precision
from roadmap.networks.costs import cost

WORTHWHILE = 10**16
"""Multiply-adds of a run's forward passes: about ten minutes of a GPU that takes half a minute to compile."""
COMPILERS = ("cc", "gcc", "clang")


def compiles(config: Config, images: int, device: torch.device) -> bool:
    """Whether a run on so many training images is compiled: as training.compile says, or else if it pays.

    Where nobody asked for it, what cannot be compiled runs as it is.
    """
    if config.training.compile is not None:
        return config.training.compile
    data = config.data
    macs = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size).macs
    measured = config.recipe.precision is Precision.bfloat16 and device.type == "cuda"
    long = macs * images * config.recipe.epochs >= WORTHWHILE
    able = find_spec("triton") is not None and any(map(shutil.which, COMPILERS))
    if wanted := measured and long and able:
        import torch._dynamo.config

        torch._dynamo.config.suppress_errors = True
    return wanted


def compiled_as_eager(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network compiled so that stochastic depth draws what it draws uncompiled: torch would take other generators."""
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    return torch.compile(network)

"""The one network behind every rung: lists of words and a few numbers become layers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from roadmap.config.schema import Init, ModelConfig
from roadmap.networks.layers import DropPath, PatchConv2d
from roadmap.networks.ops import OPS, Site


class Block(nn.Module):
    """Branch, shortcut, and what follows where they meet."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, after: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.after = after
        self.recompute = False
        """Keep the input alone for the backward pass, and compute everything else again there."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H / stride, W / stride)."""
        if not (self.recompute and torch.is_grad_enabled()):
            return self.once(x)
        y: Tensor = checkpoint(
            self.once, x, use_reentrant=False, context_fn=lambda: (nullcontext(), unremembered(self))
        )
        return y

    def once(self, x: Tensor) -> Tensor:
        """The same, keeping what torch keeps."""
        return self.after(self.drop_path(self.branch(x)) + self.shortcut(x))


@contextmanager
def unremembered(module: nn.Module) -> Iterator[None]:
    """Leave running statistics behind as they were: what passes has been counted."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


class Network(nn.Module):
    """Stem, stages (four on the ladder), head. Stages after the first may begin with a downsampling of their own."""

    def __init__(self, model: ModelConfig, *, num_classes: int, in_chans: int, drop_path: float) -> None:
        super().__init__()
        widths = [model.width * 2**stage for stage in range(len(model.depths))]
        total = sum(model.depths)
        rates = iter([drop_path * i / max(1, total - 1) for i in range(total)])
        self.stem, channels = sequence(model.stem, Site(model, in_chans, model.width))
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stage, (width, depth) in enumerate(zip(widths, model.depths, strict=True)):
            downsample, channels = sequence(model.downsample if stage else [], Site(model, channels, width))
            stride = 2 if stage and not model.downsample else 1
            blocks: list[nn.Module] = []
            for index in range(depth):
                block, channels = make_block(
                    model, channels, width, stride=stride if index == 0 else 1, drop_path=next(rates)
                )
                blocks.append(block)
            self.downsamples.append(downsample)
            self.stages.append(nn.Sequential(*blocks))
        self.head, _ = sequence(model.head, Site(model, channels, widths[-1], num_classes=num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> (N, num_classes)."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(x)


def make_block(model: ModelConfig, channels: int, width: int, *, stride: int, drop_path: float) -> tuple[Block, int]:
    """A block and the channels of its output; its spatial op has the stride."""
    add, at = model.block.index("add"), Site(model, channels, width, stride)
    stream = at.stream
    branch, _ = sequence(model.block[:add], at)
    after, _ = sequence(model.block[add + 1 :], at._replace(channels=stream), in_place=True)
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or channels != stream:
        norm = OPS[model.norm].build(at._replace(channels=stream))
        shortcut = nn.Sequential(PatchConv2d(channels, stream, 1, stride, bias=False), norm)
    return Block(branch, shortcut, after, drop_path), stream


def sequence(ops: Sequence[str], at: Site, *, in_place: bool = False) -> tuple[nn.Sequential, int]:
    """The layers of a list of ops, named norm, norm_2, ..., and the channels of their output.

    An activation works in place only where nothing else needs its input: not at the start, unless `in_place` says so
    (a shortcut may need it too), and not after another activation (whose gradient may need its output).
    """
    layers, seen = nn.Sequential(), Counter[str]()
    for name in ops:
        seen[name] += 1
        layer: Any = OPS[name].build(at)
        if not in_place and hasattr(layer, "inplace"):
            layer.inplace = False
        layers.add_module(name if seen[name] == 1 else f"{name}_{seen[name]}", layer)
        at = at._replace(channels=OPS[name].channels(at))
        in_place = OPS[name].kind != "act"
    return layers, at.channels


def initialize(module: nn.Module, init: Init) -> None:
    """Set the weights of a layer if it is a conv or linear; norms keep 1 and 0, layer scale its init value.

    torch: torch's default, uniform within 1 / sqrt(fan_in), as the paper's own networks of the ladder have it;
    kaiming_normal: torchvision's ResNet (convs by fan_out, linear as torch); trunc_normal: the released ConvNeXt
    (standard deviation 0.02, biases 0).
    """
    if init is Init.kaiming_normal and isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif init is Init.trunc_normal and isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

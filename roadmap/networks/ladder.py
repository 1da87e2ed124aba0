"""The network behind every step of the ladder, built from lists of ops and a few numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from roadmap.config.schema import Init, ModelConfig, StudyConfig
from roadmap.config.steps import find, model_config, published
from roadmap.networks.layers import DropPath, PatchConv2d
from roadmap.networks.ops import OPS, Site


def create_model(
    step: str | None = None,
    regime: str | None = None,
    ladder: str = StudyConfig.ladder,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    drop_path: float = 0.0,
) -> nn.Module:
    """The network of a step: (N, in_chans, H, W) -> (N, num_classes), weights in channels_last.

    `step`, `regime` and `ladder` are names of conf/ (ConfigError: an unknown one); by default the ladder's start and
    first regime. `drop_path` is the stochastic depth of the
    last block, linear from 0 at the first (Huang et al., arXiv 1603.09382).
    """
    init = Init[published(find(step, regime, ladder))["recipe"]["init"]]
    model = model_config(step, regime, ladder)
    return build(model, num_classes=num_classes, in_chans=in_chans, drop_path=drop_path, init=init)


def build(
    model: ModelConfig,
    *,
    num_classes: int,
    in_chans: int,
    drop_path: float = 0.0,
    init: Init = Init.torch,
    channels_last: bool = True,
) -> "Network":
    """The network that a configuration describes, with initial weights."""
    network = Network(model, num_classes=num_classes, in_chans=in_chans, drop_path=drop_path)
    network.apply(lambda module: initialize(module, init))
    return network.to(memory_format=torch.channels_last) if channels_last else network


def initialize(module: nn.Module, init: Init) -> None:
    """Initialize a conv or linear layer; norms keep 1 and 0, layer scale its init value.

    torch: torch's default, uniform within 1 / sqrt(fan_in), as in the paper's own networks of the ladder;
    kaiming_normal: torchvision's ResNet (convs by fan_out, linear as torch); trunc_normal: the released ConvNeXt
    (standard deviation 0.02, biases 0).
    """
    if init is Init.kaiming_normal and isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif init is Init.trunc_normal and isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Network(nn.Module):
    """Stem, stages (four on the ladder), head. Later stages may begin with a separate downsampling."""

    def __init__(self, model: ModelConfig, *, num_classes: int, in_chans: int, drop_path: float) -> None:
        super().__init__()
        total = sum(model.depths)
        rates = iter([drop_path * i / max(1, total - 1) for i in range(total)])
        self.stem, channels = sequence(model.stem, Site(model, in_chans, model.width))
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(model.depths):
            at = Site(model, channels, model.width * 2**stage)
            downsample, channels = sequence(model.downsample if stage else [], at)
            blocks = nn.Sequential()
            for index in range(depth):
                stride = 2 if stage and not model.downsample and index == 0 else 1
                at = at._replace(channels=channels, stride=stride)
                block, channels = make_block(model.block, at, drop_path=next(rates))
                blocks.append(block)
            self.downsamples.append(downsample)
            self.stages.append(blocks)
        self.head, _ = sequence(model.head, at._replace(channels=channels, num_classes=num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> (N, num_classes)."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(x)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Name and module of stem, stages (each with the downsampling before it) and head, in the order of forward."""
        yield "stem", self.stem
        for number, (downsample, stage) in enumerate(zip(self.downsamples, self.stages, strict=True), 1):
            yield f"stage {number}", nn.Sequential(downsample, stage)
        yield "head", self.head


class Block(nn.Module):
    """A residual block: branch plus shortcut, then the ops after the add."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, after: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.after = after
        self.recompute = False
        """Gradient checkpointing: keep only the block's input for the backward pass, and compute the rest again."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H / stride, W / stride)."""
        if not (self.recompute and torch.is_grad_enabled()):
            return self.once(x)
        y: Tensor = checkpoint(
            self.once, x, use_reentrant=False, context_fn=lambda: (nullcontext(), restored_statistics(self))
        )
        return y

    def once(self, x: Tensor) -> Tensor:
        """`forward` without gradient checkpointing."""
        return self.after(self.drop_path(self.branch(x)) + self.shortcut(x))


@contextmanager
def restored_statistics(module: nn.Module) -> Iterator[None]:
    """Restore running statistics at the end: a repeated forward pass must not count twice."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def make_block(ops: Sequence[str], at: Site, *, drop_path: float) -> tuple[Block, int]:
    """A block and the channels of its output; its spatial op has the stride."""
    add, stream = ops.index("add"), at._replace(channels=at.stream)
    branch, _ = sequence(ops[:add], at)
    after, channels = sequence(ops[add + 1 :], stream, in_place=True)
    shortcut: nn.Module = nn.Identity()
    if at.stride != 1 or at.channels != at.stream:
        conv = PatchConv2d(at.channels, at.stream, 1, at.stride, bias=False)
        shortcut = nn.Sequential(conv, OPS["norm"].build(stream))
    return Block(branch, shortcut, after, drop_path), channels


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

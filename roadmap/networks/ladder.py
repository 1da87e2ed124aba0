"""The one network behind every rung: lists of words and a few numbers become layers."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from roadmap.config.schema import Act, Init, ModelConfig, Norm, Op
from roadmap.networks.layers import DropPath, LayerNorm2d, LayerScale, PatchConv2d, SpatialConv2d

ACTS: dict[Act, Callable[[], nn.Module]] = {Act.relu: lambda: nn.ReLU(inplace=True), Act.gelu: nn.GELU}
NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    Norm.batch_norm: nn.BatchNorm2d,
    Norm.layer_norm: lambda channels: LayerNorm2d(channels, eps=1e-6),
}


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
        self.stem, channels = sequence(model.stem, model, in_chans, width=model.width)
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stage, (width, depth) in enumerate(zip(widths, model.depths, strict=True)):
            downsample, channels = sequence(model.downsample if stage else [], model, channels, width=width)
            stride = 2 if stage and not model.downsample else 1
            blocks: list[nn.Module] = []
            for index in range(depth):
                block, channels = make_block(
                    model, channels, width, stride=stride if index == 0 else 1, drop_path=next(rates)
                )
                blocks.append(block)
            self.downsamples.append(downsample)
            self.stages.append(nn.Sequential(*blocks))
        self.head, _ = sequence(model.head, model, channels, width=widths[-1], num_classes=num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> (N, num_classes)."""
        x = self.stem(x)
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(x)


def make_block(model: ModelConfig, channels: int, width: int, *, stride: int, drop_path: float) -> tuple[Block, int]:
    """A block and the channels it puts out; its spatial op carries the stride."""
    add = model.block.index(Op.add)
    stream = width * model.stream_ratio
    branch, _ = sequence(model.block[:add], model, channels, width=width, stride=stride)
    if isinstance(branch[0], nn.ReLU):
        branch[0].inplace = False  # the shortcut needs the block's input as it was
    after, _ = sequence(model.block[add + 1 :], model, stream, width=width)
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or channels != stream:
        shortcut = nn.Sequential(PatchConv2d(channels, stream, 1, stride, bias=False), NORMS[model.norm](stream))
    return Block(branch, shortcut, after, drop_path), stream


def sequence(
    words: Sequence[Op],
    model: ModelConfig,
    channels: int,
    *,
    width: int,
    stride: int = 1,
    num_classes: int = 0,
) -> tuple[nn.Sequential, int]:
    """Layers for a list of words, each named after its word (norm, norm_2, ...), and the channels they put out."""
    layers, seen = nn.Sequential(), Counter[Op]()
    for word in words:
        seen[word] += 1
        name = word.name if seen[word] == 1 else f"{word.name}_{seen[word]}"
        layer, channels = make_layer(word, model, channels, width=width, stride=stride, num_classes=num_classes)
        layers.add_module(name, layer)
    return layers, channels


def make_layer(
    word: Op, model: ModelConfig, channels: int, *, width: int, stride: int, num_classes: int
) -> tuple[nn.Module, int]:
    """The layer for a word and the channels it puts out. The only place that knows what words mean."""
    hidden, stream, k = width * model.hidden_ratio, width * model.stream_ratio, model.kernel_size
    bias = model.conv_bias
    match word:
        case Op.stem_conv:
            return nn.Conv2d(channels, width, 7, 2, 3, bias=False), width
        case Op.patchify:
            return PatchConv2d(channels, width, model.patch_size, model.patch_size), width
        case Op.max_pool:
            return nn.MaxPool2d(3, 2, 1), channels
        case Op.pw_hidden:
            return PatchConv2d(channels, hidden, 1, bias=bias), hidden
        case Op.pw_stream:
            return PatchConv2d(channels, stream, 1, bias=bias), stream
        case Op.conv:
            return SpatialConv2d(channels, channels, k, stride, k // 2, bias=bias), channels
        case Op.dwconv:
            return SpatialConv2d(channels, channels, k, stride, k // 2, groups=channels, bias=bias), channels
        case Op.norm:
            return NORMS[model.norm](channels), channels
        case Op.act:
            return ACTS[model.act](), channels
        case Op.layer_scale:
            return LayerScale(channels, model.ls_init_value), channels
        case Op.downsample_conv:
            return PatchConv2d(channels, stream, 2, 2), stream
        case Op.avg_pool:
            return nn.AdaptiveAvgPool2d(1), channels
        case Op.flatten:
            return nn.Flatten(), channels
        case Op.linear:
            return nn.Linear(channels, num_classes), num_classes
        case Op.add:
            raise ValueError("add joins two paths: it is the block's, not a layer")


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

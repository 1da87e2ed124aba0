"""The table of ops: everything that the lists of a network (stem, block, downsample, head) may hold.

To add an op, add a row; if torch has no such layer, write it in `roadmap.networks.layers`. The network, the checks,
the drawings, the designs and `show` read this table. Importing it does not import torch.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

    from roadmap.networks import layers
else:

    class _Lazy:
        """A module that is imported when it is first used."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, key: str) -> Any:
            return getattr(importlib.import_module(self.name), key)

    nn, layers = _Lazy("torch.nn"), _Lazy("roadmap.networks.layers")

LISTS = ("stem", "block", "downsample", "head")


class Site(NamedTuple):
    """Where an op stands in a network."""

    model: Any  # the `ModelConfig`; here, so that `roadmap.config` can import this module, it has no type
    channels: int  # channels of its input
    width: int  # width of the stage: w = model.width * 2**stage
    stride: int = 1  # stride of the spatial op
    num_classes: int = 0

    @property
    def hidden(self) -> int:
        """Channels inside a block."""
        return int(self.width * self.model.hidden_ratio)

    @property
    def stream(self) -> int:
        """Channels of the residual stream."""
        return int(self.width * self.model.stream_ratio)

    @property
    def patch(self) -> int:
        """Kernel size and stride of the patchify stem."""
        return int(self.model.patch_size)

    @property
    def kernel(self) -> str:
        """Kernel size of the spatial op, for labels."""
        return f"{self.model.kernel_size}×{self.model.kernel_size}"


@dataclass(frozen=True)
class Op:
    """One row of the table."""

    lists: tuple[str, ...]  # the lists in which it may stand
    label: Callable[[Site], str]  # its name in drawings and in `show`
    kind: str = "conv"  # its colour in drawings: conv, depthwise, pool, norm, act, scale or add
    _: KW_ONLY
    role: str = ""  # ops of one role replace each other, and a list holds one of them: see REQUIRED
    build: Callable[[Site], "nn.Module"] = lambda at: nn.Identity()
    channels: Callable[[Site], int] = lambda at: at.channels  # channels of its output
    size: Callable[[int, Site], int] = lambda size, at: size  # height of its output, from that of its input

    @property
    def follows(self) -> bool:
        """Whether it keeps the shape and belongs to the layer before it."""
        return self.kind in ("norm", "act", "scale")


REQUIRED = {"stem": "stem's conv", "block": "spatial op", "downsample": "downsampling"}
"""List to the role of which it holds exactly one op."""


def _norm(label: str, build: Callable[[Site], "nn.Module"]) -> Op:
    return Op(LISTS, lambda at: label, "norm", build=build)


def _act(label: str, build: Callable[[Site], "nn.Module"]) -> Op:
    """An activation; it may work in place, `roadmap.networks.ladder` turns that off where the input is still needed."""
    return Op(LISTS, lambda at: label, "act", build=build)


def _pointwise(at: Site, out: int) -> "nn.Module":
    return layers.PatchConv2d(at.channels, out, 1, bias=at.model.conv_bias)


def _spatial(at: Site, groups: int) -> "nn.Module":
    k, channels = at.model.kernel_size, at.channels
    return layers.SpatialConv2d(channels, channels, k, at.stride, k // 2, groups=groups, bias=at.model.conv_bias)


# fmt: off
OPS: dict[str, Op] = {
    "stem_conv": Op(("stem",), lambda at: f"7×7 conv, {at.width}, stride 2", role="stem's conv",
        build=lambda at: nn.Conv2d(at.channels, at.width, 7, 2, 3, bias=False),
        channels=lambda at: at.width, size=lambda size, at: (size + 1) // 2),
    "patchify": Op(("stem",), lambda at: f"{at.patch}×{at.patch} conv, {at.width}, stride {at.patch}",
        role="stem's conv", build=lambda at: layers.PatchConv2d(at.channels, at.width, at.patch, at.patch),
        channels=lambda at: at.width, size=lambda size, at: size // at.patch),
    "max_pool": Op(("stem",), lambda at: "3×3 max pool, stride 2", "pool",
        build=lambda at: nn.MaxPool2d(3, 2, 1), size=lambda size, at: (size + 1) // 2),
    "pw_hidden": Op(("block",), lambda at: f"1×1 conv, {at.hidden}",
        build=lambda at: _pointwise(at, at.hidden), channels=lambda at: at.hidden),
    "pw_stream": Op(("block",), lambda at: f"1×1 conv, {at.stream}",
        build=lambda at: _pointwise(at, at.stream), channels=lambda at: at.stream),
    "conv": Op(("block",), lambda at: f"{at.kernel} conv", role="spatial op",
        build=lambda at: _spatial(at, groups=1), size=lambda size, at: (size - 1) // at.stride + 1),
    "dwconv": Op(("block",), lambda at: f"{at.kernel} depthwise conv", "depthwise", role="spatial op",
        build=lambda at: _spatial(at, groups=at.channels), size=lambda size, at: (size - 1) // at.stride + 1),
    "add": Op(("block",), lambda at: "add", "add"),  # not a layer: here the block adds the shortcut
    "downsample_conv": Op(("downsample",), lambda at: "2×2 conv, stride 2", role="downsampling",
        build=lambda at: layers.PatchConv2d(at.channels, at.stream, 2, 2),
        channels=lambda at: at.stream, size=lambda size, at: size // 2),
    "avg_pool": Op(("head",), lambda at: "global average pool", "pool",
        build=lambda at: nn.AdaptiveAvgPool2d(1), size=lambda size, at: 1),
    "flatten": Op(("head",), lambda at: "flatten", "pool", build=lambda at: nn.Flatten()),
    "linear": Op(("head",), lambda at: "linear",
        build=lambda at: nn.Linear(at.channels, at.num_classes), channels=lambda at: at.num_classes),
    # `norm` and `act` stand for the ops that model.norm and model.act name.
    "norm": Op(LISTS, lambda at: OPS[at.model.norm].label(at), "norm", build=lambda at: OPS[at.model.norm].build(at)),
    "act": Op(LISTS, lambda at: OPS[at.model.act].label(at), "act", build=lambda at: OPS[at.model.act].build(at)),
    "batch_norm": _norm("batch norm", lambda at: nn.BatchNorm2d(at.channels)),
    "layer_norm": _norm("layer norm", lambda at: layers.LayerNorm2d(at.channels, eps=1e-6)),
    "rms_norm": _norm("RMS norm", lambda at: layers.RMSNorm2d(at.channels, eps=1e-6)),
    "relu": _act("ReLU", lambda at: nn.ReLU(inplace=True)),
    "gelu": _act("GELU", lambda at: nn.GELU()),
    "silu": _act("SiLU", lambda at: nn.SiLU()),
    "leaky_relu": _act("leaky ReLU", lambda at: nn.LeakyReLU(inplace=True)),
    "hardswish": _act("hardswish", lambda at: nn.Hardswish()),
    "layer_scale": Op(("block",), lambda at: "layer scale", "scale",
        build=lambda at: layers.LayerScale(at.channels, at.model.ls_init_value)),
    "grn": Op(("block",), lambda at: "global response norm", "scale",
        build=lambda at: layers.GlobalResponseNorm(at.channels)),
    "squeeze_excite": Op(("block",), lambda at: "squeeze-excite", "scale",
        build=lambda at: layers.SqueezeExcite(at.channels)),
}
# fmt: on
CHOICES = {key: tuple(name for name, op in OPS.items() if op.kind == key != name) for key in ("norm", "act")}
"""The ops that model.norm and model.act may name."""


def of_role(role: str) -> list[str]:
    return [name for name, op in OPS.items() if op.role == role]


def labels(model: Any, part: str, *, stage: int = 0) -> list[str]:
    """Labels of the ops of one of a model's lists, with the channels that they have in a stage."""
    at = Site(model, channels=0, width=model.width * 2**stage)
    return [OPS[name].label(at) for name in getattr(model, part)]


class Placed(NamedTuple):
    """An op in its place of a network."""

    name: str  # with `norm` and `act` as the ops that they stand for
    at: Site  # with the channels of its input
    size: int  # height of its input in pixels
    copies: int  # all blocks of a stage but the first are equal


def placed(model: Any, *, img_size: int, in_chans: int = 0, num_classes: int = 0) -> Iterator[Placed]:
    """The ops of a network in the order of its forward pass, for images of img_size pixels; shortcuts are left out."""
    at, size, last = Site(model, in_chans, model.width, num_classes=num_classes), img_size, len(model.depths) - 1
    for stage, depth in enumerate(model.depths):
        first = 2 if stage and not model.downsample else 1
        parts = [("downsample" if stage else "stem", 1, 2), ("block", 1, first), ("block", depth - 1, 1)]
        for part, copies, stride in [*parts, ("head", stage == last, 1)]:
            at = at._replace(width=model.width * 2**stage, stride=stride)
            for name in getattr(model, part) if copies else ():
                yield Placed(getattr(model, name) if name in CHOICES else name, at, size, copies)
                at, size = at._replace(channels=OPS[name].channels(at)), OPS[name].size(size, at)


def map_sizes(model: Any, img_size: int) -> list[int]:
    """Height of the output of each stage, for images of img_size pixels; 0 if there is nothing left."""
    sizes, size = [], img_size
    for stage in range(len(model.depths)):
        for name in (model.downsample or model.block) if stage else model.stem:
            size = OPS[name].size(size, Site(model, channels=0, width=model.width, stride=2))
        sizes.append(size)
    return sizes

"""A network counted from its words, without building it: what each layer is called, holds and costs.

The shapes are those of `roadmap.networks.ladder`; the tests hold the two together to the unit. Needs no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roadmap.config.schema import ModelConfig


@dataclass(frozen=True)
class Flow:
    """What arrives behind a layer, and what the layers up to there hold and cost."""

    channels: int
    size: int
    """Height and width in pixels."""
    params: int = 0
    macs: int = 0
    """Multiply-adds of convolutions and linear layers for one image."""

    def conv(
        self, out: int, kernel: int, *, stride: int = 1, padding: int = 0, groups: int = 1, bias: int = 0
    ) -> "Flow":
        """Behind a convolution; `bias` is 1 with a bias and 0 without.

        Taps that on a small map only ever meet padding are held, but not computed.
        """
        size = (self.size + 2 * padding - kernel) // stride + 1
        reached = kernel - 2 * max(0, (kernel + 1) // 2 - self.size) if padding else kernel
        pairs = self.channels * out // groups
        return Flow(out, size, self.params + pairs * kernel**2 + bias * out, self.macs + pairs * (reached * size) ** 2)

    def holding(self, params: int) -> "Flow":
        """Behind a layer that keeps the shape and costs no multiply-adds worth counting."""
        return replace(self, params=self.params + params)


@dataclass(frozen=True)
class Part:
    """The stem, a stage with the downsampling before it, or the head."""

    name: str
    channels: int
    """Behind it."""
    size: int
    params: int
    macs: int


def parts(model: ModelConfig, *, num_classes: int = 1000, in_chans: int = 3, img_size: int = 224) -> list[Part]:
    """Parameters and multiply-adds of stem, stages and head, for one (in_chans, img_size, img_size) image."""
    flow, found = Flow(in_chans, img_size), []

    def note(name: str, behind: Flow) -> Flow:
        found.append(Part(name, behind.channels, behind.size, behind.params, behind.macs))
        return Flow(behind.channels, behind.size)

    flow = note("stem", _through(model.stem, model, flow, width=model.width))
    for stage, depth in enumerate(model.depths):
        width = model.width * 2**stage
        if stage:
            flow = _through(model.downsample, model, flow, width=width)
        for index in range(depth):
            stride = 2 if stage and not model.downsample and index == 0 else 1
            flow = _block(model, flow, width=width, stride=stride)
        flow = note(f"stage {stage + 1}", flow)
    note("head", _through(model.head, model, flow, width=width, num_classes=num_classes))
    return found


def _block(model: ModelConfig, flow: Flow, *, width: int, stride: int) -> Flow:
    add, stream = model.block.index("add"), width * model.stream_ratio
    behind = _through(model.block[:add], model, flow, width=width, stride=stride)
    if stride != 1 or flow.channels != stream:  # the shortcut is projected
        shortcut = Flow(flow.channels, flow.size).conv(stream, 1, stride=stride).holding(2 * stream)
        behind = replace(behind, params=behind.params + shortcut.params, macs=behind.macs + shortcut.macs)
    return _through(model.block[add + 1 :], model, behind, width=width)


def _through(
    words: Sequence[str], model: ModelConfig, flow: Flow, *, width: int, stride: int = 1, num_classes: int = 0
) -> Flow:
    for word in words:
        flow = _layer(word, model, flow, width=width, stride=stride, num_classes=num_classes)
    return flow


def _layer(word: str, model: ModelConfig, flow: Flow, *, width: int, stride: int, num_classes: int) -> Flow:
    k, bias, channels = model.kernel_size, int(model.conv_bias), flow.channels
    match word:
        case "stem_conv":
            return flow.conv(width, 7, stride=2, padding=3)
        case "patchify":
            return flow.conv(width, model.patch_size, stride=model.patch_size, bias=1)
        case "max_pool":
            return replace(flow, size=(flow.size - 1) // 2 + 1)
        case "pw_hidden":
            return flow.conv(width * model.hidden_ratio, 1, bias=bias)
        case "pw_stream":
            return flow.conv(width * model.stream_ratio, 1, bias=bias)
        case "conv":
            return flow.conv(channels, k, stride=stride, padding=k // 2, bias=bias)
        case "dwconv":
            return flow.conv(channels, k, stride=stride, padding=k // 2, groups=channels, bias=bias)
        case "norm":
            return flow.holding(2 * channels)
        case "layer_scale":
            return flow.holding(channels)
        case "downsample_conv":
            return flow.conv(width * model.stream_ratio, 2, stride=2, bias=1)
        case "avg_pool":
            return replace(flow, size=1)
        case "linear":
            return flow.conv(num_classes, 1, bias=1)
        case _:
            return flow

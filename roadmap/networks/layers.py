"""The layers that torch does not have in the form the ladder needs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roadmap.networks.depthwise import depthwise_conv2d

LINEAR_PIXELS = 49  # on a map of up to so many pixels a linear layer is faster than a conv, measured on CPU
NARROW = 8  # of up to so many channels, strided 1x1 convs on large maps write past their memory going back (torch 2.15)


class PatchConv2d(nn.Conv2d):
    """A conv without padding whose patches do not overlap: its kernel is one pixel, or as wide as its stride.

    On small maps on a CPU it is computed as the linear layer that it is, and where torch would crash.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, h, w) with as many patches."""
        k, stride = self.kernel_size[0], self.stride[0]
        h, w = (1 + (size - k) // stride for size in x.shape[2:])
        narrow = self.in_channels <= NARROW and k < stride
        if x.device.type != "cpu" or not (0 < h * w <= LINEAR_PIXELS or narrow):
            return super().forward(x)
        patches = pixels(x)
        if k == 1:
            patches = patches[:, ::stride, ::stride]
        else:
            patches = patches[:, : h * k, : w * k].unflatten(2, (w, k)).unflatten(1, (h, k)).transpose(2, 3).flatten(3)
        return channels_first(F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias))


def pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C)."""
    return x.permute(0, 2, 3, 1) if x[0, 0].numel() > 1 else x.reshape(len(x), 1, 1, -1)


def channels_first(x: Tensor) -> Tensor:
    """(N, H, W, C) as (N, C, H, W).

    With one pixel in the strides that torch itself gives: where a tensor and its gradient have different ones, its
    batch norm goes back ten times slower.
    """
    return x.permute(0, 3, 1, 2) if x[0, ..., 0].numel() > 1 else x.reshape(len(x), -1, 1, 1)


class SpatialConv2d(nn.Conv2d):
    """A conv with padding k // 2 that leaves out the taps which can only ever meet padding.

    On a map of H pixels, taps further than H - 1 from the centre see nothing but zeros: cropping the kernel to 2H - 1
    changes no output, and spares the slow path that frameworks take for kernels larger than the map. Of a depthwise
    conv on a map of one pixel a factor a channel is left.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, ceil(H / stride), ceil(W / stride))."""
        k = self.kernel_size[0]
        trim_h, trim_w = max(0, (k + 1) // 2 - x.shape[2]), max(0, (k + 1) // 2 - x.shape[3])
        weight = self.weight[:, :, trim_h : k - trim_h, trim_w : k - trim_w] if trim_h or trim_w else self.weight
        stride, padding = (self.stride[0], self.stride[1]), (k // 2 - trim_h, k // 2 - trim_w)
        if 1 < self.groups == self.out_channels:
            return depthwise_conv2d(x, weight, self.bias, stride, padding)
        return F.conv2d(x, weight, self.bias, stride, padding, 1, self.groups)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W); on a channels-last tensor it works without a copy."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """A learnt factor for every channel (Touvron et al., arXiv 2103.17239)."""

    def __init__(self, channels: int, init_value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), init_value))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x * self.gamma.view(-1, 1, 1)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., arXiv 1603.09382): in training an image's branch is left out with probability p.

    The draws are those of torchvision's StochasticDepth by row, whose import would cost every process a second.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.whole: int | None = None
        self.part = slice(None)
        """Which images of a pass of `whole` images are given, for which all is drawn; unset: those given are all."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), the kept branches scaled by 1 / (1 - p)."""
        if not self.training:
            return x
        n = self.whole or x.shape[0]
        kept = torch.empty(n, 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)[self.part]
        return x * (kept.div_(1 - self.p) if self.p < 1 else kept)

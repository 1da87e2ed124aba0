"""Layers that torch lacks, or computes slowly at the sizes of the ladder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roadmap.networks.depthwise import depthwise_conv2d

LINEAR_PIXELS = 49  # on maps of at most this many pixels a linear layer is faster than a conv (measured on CPU)
NARROW = 8  # channels up to which the backward of strided 1x1 convs on large maps corrupts memory (torch 2.15)


class PatchConv2d(nn.Conv2d):
    """A conv without padding whose patches do not overlap: its kernel is one pixel, or as wide as its stride.

    On a CPU it is computed as a linear layer on small maps, and where torch's conv would crash.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, h, w), one pixel per patch."""
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
    return x.permute(0, 2, 3, 1) if x[0, 0].numel() > 1 else x.reshape(x.shape[0], 1, 1, -1)


def channels_first(x: Tensor) -> Tensor:
    """(N, H, W, C) as (N, C, H, W).

    A map of one pixel gets the strides that torch gives it: if a tensor and its gradient differ in strides, the
    backward pass of torch's batch norm is ten times slower.
    """
    return x.permute(0, 3, 1, 2) if x[0, ..., 0].numel() > 1 else x.reshape(x.shape[0], -1, 1, 1)


class SpatialConv2d(nn.Conv2d):
    """A conv with padding k // 2 that skips taps which only ever meet padding.

    On a map of H pixels, taps further than H - 1 from the centre see only zeros: cropping the kernel to 2H - 1 changes
    no output and avoids the slow path of kernels larger than the map. On a map of one pixel, a depthwise conv becomes
    one factor per channel.
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
    """Layer norm over the channels of (N, C, H, W); needs no copy of a channels-last tensor."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RMSNorm2d(nn.RMSNorm):
    """RMS norm (Zhang and Sennrich, arXiv 1910.07467) over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """A learned factor per channel of (N, C, H, W) (Touvron et al., arXiv 2103.17239)."""

    def __init__(self, channels: int, init_value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), init_value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma.view(-1, 1, 1)


class GlobalResponseNorm(nn.Module):
    """Global response normalization (ConvNeXt V2, arXiv 2301.00808) of (N, C, H, W): x + gamma * x * n(x) + beta.

    n(x) is the L2 norm of each channel's map, divided by its mean over the channels. gamma and beta start at zero.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        norm = x.norm(dim=(2, 3), keepdim=True)
        response = norm / (norm.mean(dim=1, keepdim=True) + self.eps)
        return x + self.gamma.view(-1, 1, 1) * (x * response) + self.beta.view(-1, 1, 1)


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al., arXiv 1709.01507): channels of (N, C, H, W) scaled by a gate of their means.

    A sixteenth of the channels inside, rounded to a multiple of 8 (at least 8), ReLU, and a sigmoid gate, as in timm's
    `SqueezeExcite`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(8, int(channels / 16 + 4) // 8 * 8)
        self.reduce = PatchConv2d(channels, inside, 1)
        self.expand = PatchConv2d(inside, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.expand(F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True))))
        return x * gate.sigmoid()


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., arXiv 1603.09382): in training, drops the branch of an image with probability p.

    The draws equal those of torchvision's StochasticDepth in mode "row", which takes a second to import.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.whole: int | None = None
        self.part = slice(None)
        """The slice of a batch of `whole` images that is passed (None: the input is the batch). Draws are made for the
        whole batch, so that splitting it changes none."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), the kept branches scaled by 1 / (1 - p)."""
        if not self.training:
            return x
        n = self.whole or x.shape[0]
        kept = torch.empty(n, 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)[self.part]
        return x * (kept.div_(1 - self.p) if self.p < 1 else kept)

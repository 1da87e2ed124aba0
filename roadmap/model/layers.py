"""The layers that torch does not have in the form the ladder needs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roadmap.model.depthwise import depthwise_conv2d

LINEAR_PIXELS = 49  # a pointwise conv on a map of up to so many pixels is faster as a matrix product, measured on CPU


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 conv; on small maps on a CPU it is computed as the linear layer that it is."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H, W)."""
        if x.device.type != "cpu" or x.shape[2] * x.shape[3] > LINEAR_PIXELS:
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


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
        if x.device.type != "cpu" or self.groups < self.out_channels or self.groups == 1:
            return F.conv2d(x, weight, self.bias, stride, padding, 1, self.groups)
        if weight.shape[2:] == (1, 1) and stride == (1, 1):
            scaled = x * weight.view(-1, 1, 1)
            return scaled if self.bias is None else scaled + self.bias.view(-1, 1, 1)
        return depthwise_conv2d(x, weight, self.bias, stride, padding)


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

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), the kept branches scaled by 1 / (1 - p)."""
        if not self.training:
            return x
        kept = torch.empty(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * (kept.div_(1 - self.p) if self.p < 1 else kept)

"""Depthwise convolution that avoids slow paths of oneDNN and cuDNN, measured in docs/performance.md.

The replacements are plain torch and exact up to rounding. On a CPU:

- oneDNN computes the weight gradient of kernels wider than 3 as that of a dense grouped convolution, sixteen times the
  work. Three columns of the kernel at a time have a fast path.
- The weight gradient on maps smaller than the kernel falls back to a reference loop. With so few pixels, all products
  of two pixels are one matrix product per channel, and each tap of the kernel is the sum of a diagonal.
- The input gradient of a strided bfloat16 convolution falls back to a reference loop. It equals the convolution,
  without stride, of the gradient with zeros inserted, by the flipped kernel.

On a GPU, channels last:

- The float32 weight gradient of 7x7 kernels is slow and computed in TF32. For 3x3 tiles of the kernel it is fast and
  in float32.
- Wider kernels are slow throughout. torch's own kernels for the contiguous layout are faster.
"""

from itertools import product
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

COLUMNS = 3  # widest kernel with a fast path for the weight gradient on a CPU
CUDNN_FLOAT32, CUDNN = 5, 7
"""Widest kernels for which cuDNN is fast: for the float32 weight gradient, and for everything else."""
TILE = 3
PRODUCTS_PIXELS = 16  # largest map, in pixels, for which all products of two pixels are computed

Pair = tuple[int, int]


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
    """F.conv2d with one group per channel: x (N, C, H, W), weight (C, 1, kh, kw), bias (C,)."""
    if x.device.type == "cpu":
        return _on_cpu(x, weight, bias, stride, padding)
    widest = max(weight.shape[2:]) if x.is_cuda else 0
    if CUDNN_FLOAT32 < widest <= CUDNN and not torch.is_autocast_enabled("cuda"):
        return cast(Tensor, _Depthwise.apply(x, weight, bias, stride, padding))
    if widest > CUDNN:
        own = weight.clone(memory_format=torch.contiguous_format)  # its strides, too, decide about the layout
        y = F.conv2d(x.contiguous(), own, bias, stride, padding, 1, weight.shape[0])
        return y.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, bias, stride, padding, 1, weight.shape[0])


def _on_cpu(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
    if torch.is_autocast_enabled("cpu"):  # autocast does not cast inside a custom autograd.Function
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if weight.shape[2:] == (1, 1) and stride == (1, 1):
        scaled = x * weight.view(-1, 1, 1)
        return scaled if bias is None else scaled + bias.view(-1, 1, 1)
    return cast(Tensor, _Depthwise.apply(x, weight, bias, stride, padding))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]
        return F.conv2d(x, weight, bias, stride, padding, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding = ctx.stride, ctx.padding  # type: ignore[attr-defined]
        for_x, for_weight, for_bias, *_ = ctx.needs_input_grad  # type: ignore[attr-defined]
        return (
            input_gradient(grad, x, weight, stride, padding) if for_x else None,
            weight_gradient(grad, x, weight, stride, padding) if for_weight else None,
            grad.sum((0, 2, 3)) if for_bias else None,
            None,
            None,
        )


def input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of x (N, C, H, W) from that of the output."""
    if x.dtype is not torch.bfloat16 or max(stride) == 1:
        return _torchs(grad, x, weight, stride, padding, of_weight=False)
    (n, c, h, w), (kh, kw) = x.shape, weight.shape[2:]
    spread = grad.new_zeros(n, h, w, c).permute(0, 3, 1, 2)
    spread[:, :, :: stride[0], :: stride[1]] = grad
    return F.conv2d(spread, weight.flip(2, 3), None, 1, (kh - 1 - padding[0], kw - 1 - padding[1]), 1, c)


def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of the weight (C, 1, kh, kw) from that of the output."""
    (h, w), (kh, kw) = x.shape[2:], weight.shape[2:]
    if x.is_cuda:
        return by_tiles(grad, x, weight, stride, padding)
    if max(kh, kw) <= COLUMNS and kh <= h and kw <= w:
        return _torchs(grad, x, weight, stride, padding, of_weight=True)
    if h * w <= PRODUCTS_PIXELS:
        return _by_products(grad, x, weight, stride, padding)
    return _by_columns(grad, x, weight, stride, padding)


def _by_columns(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Weight gradient, COLUMNS columns of the kernel at a time, each from the padded input that they see.

    A strided convolution is split into stride 1 convolutions of every stride[0]-th row and stride[1]-th column.
    """
    (kh, kw), (oh, ow) = weight.shape[2:], grad.shape[2:]
    rows = padding[0] if kh > x.shape[2] or max(stride) > 1 else 0  # padding left to torch must keep its fast path
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], rows, rows)).permute(0, 3, 1, 2)
    found = torch.empty_like(weight)
    for top, left in product(range(min(stride[0], kh)), range(min(stride[1], kw))):
        part, phase = (of[:, :, top :: stride[0], left :: stride[1]] for of in (found, padded))
        for columns in part.split(COLUMNS, dim=3):
            seen = phase[:, :, : oh - 1 + columns.shape[2], : ow - 1 + columns.shape[3]]
            columns.copy_(_torchs(grad, seen, columns, (1, 1), (padding[0] - rows, 0), of_weight=True))
            phase = phase[..., COLUMNS:]
    return found


def by_tiles(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Weight gradient by TILE x TILE tiles of the kernel, which may overlap."""
    (kh, kw), (oh, ow) = weight.shape[2:], grad.shape[2:]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0])).permute(0, 3, 1, 2)
    found = torch.empty_like(weight)
    starts = ([max(0, min(start, k - TILE)) for start in range(0, k, TILE)] for k in (kh, kw))
    for top, left in product(*starts):
        tile = found[:, :, top : top + TILE, left : left + TILE]
        rows, columns = (oh - 1) * stride[0] + tile.shape[2], (ow - 1) * stride[1] + tile.shape[3]
        seen = padded[:, :, top : top + rows, left : left + columns]
        tile.copy_(_torchs(grad, seen, tile, stride, (0, 0), of_weight=True))
    return found


def _by_products(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Weight gradient from all products of a gradient pixel and an input pixel, summed over images, then per tap."""
    (kh, kw), (h, w), (oh, ow) = weight.shape[2:], x.shape[2:], grad.shape[2:]
    a, b = _by_channels(grad), _by_channels(x)
    products = torch.bmm(a.transpose(1, 2), b).view(-1, oh, ow, h, w)
    padded = F.pad(products, (padding[1], padding[1], padding[0], padding[0]))
    c, y, z, row, column = padded.stride()
    taps = padded.as_strided((len(a), kh, kw, oh, ow), (c, row, column, y + stride[0] * row, z + stride[1] * column))
    return taps.sum((3, 4)).unsqueeze(1)


def _by_channels(x: Tensor) -> Tensor:
    """(N, C, H, W) as (C, N, H * W)."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n * h * w, c).t().contiguous().view(c, n, h * w)  # this t() is fast


def _torchs(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, *, of_weight: bool) -> Tensor:
    mask, c = [not of_weight, of_weight, False], x.shape[1]
    found = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), c, mask
    )  # fmt: skip
    gradient: Tensor = found[int(of_weight)]
    return gradient

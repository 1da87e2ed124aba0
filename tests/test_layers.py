"""Layers: outputs and gradients against torch's own convolutions in float64 on odd shapes, and torchvision's."""

import itertools

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from roadmap.networks.depthwise import by_tiles, depthwise_conv2d
from roadmap.networks.layers import DropPath, PatchConv2d, SpatialConv2d

MAPS = [(1, 1), (2, 2), (7, 7), (14, 14), (56, 56), (1, 9), (3, 5), (8, 4)]


def batch(*shape: int, dtype: torch.dtype = torch.float64, channels_last: bool = True) -> Tensor:
    x = torch.randn(*shape, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and gradients of x and of the parameters for a scalar that weights every output differently."""
    x = x.detach().requires_grad_()
    y = layer(x)
    scalar = (y.double() * torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)).sum()
    return [y, *torch.autograd.grad(scalar, [x, *layer.parameters()])]


def plainly(conv: nn.Conv2d) -> nn.Conv2d:
    """torch's own conv with the same weights, in float64."""
    channels, given = (conv.in_channels, conv.out_channels), (conv.kernel_size, conv.stride, conv.padding)
    own = nn.Conv2d(*channels, *given, 1, conv.groups, conv.bias is not None)
    own.load_state_dict(conv.state_dict())
    return own.double()


def compare_with_torchs(conv: nn.Conv2d, n: int, size: tuple[int, int]) -> None:
    x = batch(n, 4, *size, channels_last=n == 1)
    for ours, torchs in zip(gradients(conv, x), gradients(plainly(conv), x), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-9, msg=f"{n}x4x{size}")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9, 11])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_spatial_conv_is_torchs_on_every_map(groups: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    for size, n in itertools.product(MAPS, (1, 3)):
        conv = SpatialConv2d(4, 4, kernel, stride, kernel // 2, groups=groups, bias=n > 1)
        compare_with_torchs(conv.double(), n, size)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (2, 2), (4, 4)])
def test_a_patch_conv_is_torchs_on_every_map(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    for size, n in itertools.product(MAPS, (1, 3)):
        if min(size) >= kernel:
            compare_with_torchs(PatchConv2d(4, 6, kernel, stride, bias=n > 1).double(), n, size)


@pytest.mark.parametrize("channels", [4, 6, 8])
def test_narrow_strided_convs_on_large_maps_have_a_backward(channels: int) -> None:
    """torch's own corrupts memory and ends the process sooner or later."""
    torch.manual_seed(0)
    conv = PatchConv2d(channels, 2 * channels, 1, 2, bias=False)
    x = batch(8, channels, 56, 56, dtype=torch.float32)
    found, exact = gradients(conv, x), gradients(plainly(conv), x.double())
    for one, other in zip(found, exact, strict=True):
        assert (one - other).norm() < 1e-5 * other.norm()


def test_one_pixel_and_its_gradient_have_torchs_strides() -> None:
    """With others, the backward pass of torch's batch norm is ten times slower."""
    x, usual = batch(3, 4, 1, 1).requires_grad_() * 1, torch.empty(3, 4, 1, 1).stride()
    x.retain_grad()
    y = PatchConv2d(4, 4, 1).double()(x)
    y.backward(torch.ones(3, 4, 1, 1, dtype=torch.float64))
    assert x.grad is not None and y.stride() == x.grad.stride() == usual


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 4e-6), (torch.bfloat16, 6e-3)])
def test_depthwise_gradients_are_as_exact_as_the_precision_allows(dtype: torch.dtype, error: float) -> None:
    """Up to `error`, or up to twice the error of torch's own, which depends on the CPU."""
    torch.manual_seed(0)
    shapes = [(256, 16, 2, 3), (64, 32, 4, 7), (16, 32, 8, 7), (4, 8, 56, 7), (4, 8, 56, 11), (1, 32, 7, 9)]
    for (n, c, size, kernel), stride in itertools.product(shapes, (1, 2)):
        kernel, padding = min(kernel, 2 * size - 1), (min(kernel, 2 * size - 1) // 2,) * 2
        x, weight = batch(n, c, size, size, dtype=dtype), batch(c, 1, kernel, kernel, dtype=dtype)
        found = []
        for ours, exact in ((True, False), (False, False), (False, True)):
            a, b = (t.double() if exact else t.clone() for t in (x, weight))
            a, b, given = a.requires_grad_(), b.requires_grad_(), ((stride, stride), padding)
            y = depthwise_conv2d(a, b, None, *given) if ours else F.conv2d(a, b, None, *given, 1, c)
            down = torch.linspace(-1, 1, y.numel()).to(dtype).view(y.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
            found.append(torch.autograd.grad(y, (a, b), down.to(y.dtype)))
        for gradient, torchs, exactly in zip(*found, strict=True):
            assert gradient.dtype is dtype
            off, torchs_off = ((each.double() - exactly).norm() / exactly.norm() for each in (gradient, torchs))
            assert off < max(error, 2 * torchs_off), (n, c, size, kernel, stride)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9, 11])
def test_the_weight_gradient_by_tiles_is_torchs_on_every_map(kernel: int, stride: int) -> None:
    """On a CPU, though it is for GPUs."""
    for h, w in MAPS:
        torch.manual_seed(0)
        x, weight = batch(2, 4, h, w), torch.randn(4, 1, kernel, min(kernel, 2 * w - 1), dtype=torch.float64)
        steps, padding = (stride, stride), (kernel // 2, weight.shape[3] // 2)
        y = F.conv2d(x, weight.requires_grad_(), None, steps, padding, 1, 4)
        grad = torch.randn_like(y)
        (wanted,) = torch.autograd.grad(y, weight, grad)
        assert torch.allclose(by_tiles(grad, x, weight, steps, padding), wanted, rtol=1e-9, atol=1e-9)


def test_a_depthwise_conv_follows_autocast() -> None:
    conv, x = SpatialConv2d(8, 8, 7, 1, 3, groups=8), batch(2, 8, 9, 9, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype is torch.bfloat16
    y.float().square().sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.dtype is torch.float32


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_stochastic_depth_is_torchvisions(p: float) -> None:
    x, found = torch.randn(16, 3, 2, 2), []
    for layer in (DropPath(p), torchvision.ops.StochasticDepth(p, "row")):
        torch.manual_seed(0)
        found.append(layer.train()(x))
        assert layer.eval()(x) is x
    assert torch.equal(*found)

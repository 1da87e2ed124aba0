"""RandAugment (Cubuk et al., arXiv 1909.13719) of whole batches: timm's operations and magnitudes on tensors.

`draw` decides on the CPU for all images of an epoch; `apply` carries it out on the device that holds them. On the
same draw an operation differs from timm's, which are Pillow's, by at most one grey level.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from timm.data.auto_augment import RandAugment

FILL = 128  # pixels that come from outside the image
LUMA = (19595, 38470, 7471)  # weights of red, green and blue in a grey level, of 65536
ROUNDING = 1e-3  # weights that sum to 1 up to rounding must not turn 77 into 76
SMOOTH = ((1, 1, 1), (1, 5, 1), (1, 1, 1))
Op = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images (B, C, H, W) uint8, arguments (B,) float32, and for geometric operations whether to interpolate bicubically
(B,) bool, to images (B, C, H, W) uint8."""


@dataclass(frozen=True)
class Operations:
    """Random decisions for N images, each with L operations one after the other."""

    names: tuple[str, ...]  # of the operations, as timm calls them
    op: Tensor  # (N, L) int64: index of a name; -1: none
    argument: Tensor  # (N, L) float32: in the unit of the operation
    bicubic: Tensor  # (N, L) bool

    def to(self, device: torch.device) -> "Operations":
        return Operations(self.names, *(each.to(device) for each in (self.op, self.argument, self.bicubic)))


def policy(aa: str) -> "RandAugment":
    """timm's RandAugment of a description such as rand-m9-mstd0.5-inc1."""
    from timm.data.auto_augment import rand_augment_transform  # timm takes seconds to import

    return rand_augment_transform(aa, {"img_mean": (FILL,) * 3})


def draw(policy: "RandAugment", u: Tensor) -> Operations:
    """The decisions of a policy of L layers from uniforms (N, 5 * L).

    Each image gets L operations with replacement, each applied with its probability, at a magnitude that is normal
    around the given one and between 0 and 10.
    """
    first, layers = policy.ops[0], policy.num_layers
    names = tuple(op.name for op in policy.ops)
    chosen, applied, normal, sign, filter_ = u.view(len(u), layers, 5).unbind(2)
    op = (chosen * len(names)).long()
    level = first.magnitude + first.magnitude_std * torch.special.ndtri(normal.clamp(1e-7, 1 - 1e-7))
    level = level.clamp(0, first.magnitude_max or 10) / 10
    sign = torch.where(sign > 0.5, -1.0, 1.0)
    arguments = torch.stack([ARGUMENTS[name](level, sign) for name in names], -1)
    argument = arguments.gather(2, op.unsqueeze(2)).squeeze(2)
    return Operations(names, torch.where(applied > first.prob, -1, op), argument, filter_ > 0.5)


def apply(x: Tensor, index: Tensor, draws: Operations) -> Tensor:
    """Carry out the operations of the images (B, C, H, W) uint8 at `index` (B,), one layer after the other."""
    chosen, arguments, bicubic = (each.index_select(0, index) for each in (draws.op, draws.argument, draws.bicubic))
    x = x.clone()
    for layer in range(chosen.shape[1]):
        for number, name in enumerate(draws.names):
            rows = (chosen[:, layer] == number).nonzero().squeeze(1)
            if len(rows):
                x[rows] = OPERATIONS[name.removesuffix("Increasing")](
                    x[rows], arguments[rows, layer], bicubic[rows, layer]
                )
    return x


def auto_contrast(x: Tensor, _argument: Tensor, _bicubic: Tensor) -> Tensor:
    """Stretch each channel so that its darkest pixel is 0 and its brightest 255."""
    low, high = (each.double()[..., None, None] for each in x.flatten(2).aminmax(dim=2))
    scale = torch.full_like(high, 255).div(high - low)  # 255 / tensor would round twice
    stretched = (x * scale + -low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, x)


def equalize(x: Tensor, _argument: Tensor, _bicubic: Tensor) -> Tensor:
    """Make the distribution of grey levels in each channel uniform."""
    levels = x.flatten(2).long()
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=x.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.gather(2, levels.amax(2, keepdim=True))  # of the brightest level that occurs
    step = (levels.shape[2] - last) // 255
    before = counts.cumsum(2) - counts
    table = ((step // 2 + before) // step.clamp_min(1)).clamp_max(255)
    table = torch.where(step > 0, table, torch.arange(256, device=x.device))
    return table.gather(2, levels).to(torch.uint8).view_as(x)


def invert(x: Tensor, _argument: Tensor, _bicubic: Tensor) -> Tensor:
    return 255 - x


def posterize(x: Tensor, bits: Tensor, _bicubic: Tensor) -> Tensor:
    """Keep the most significant bits; with 0 bits the image is black, as in the Pillow of the paper's time."""
    return x & (256 - 2 ** (8 - bits.long())).to(torch.uint8).view(-1, 1, 1, 1)


def solarize(x: Tensor, threshold: Tensor, _bicubic: Tensor) -> Tensor:
    """Invert the levels from a threshold on."""
    return torch.where(x < threshold.view(-1, 1, 1, 1), x, 255 - x)


def solarize_add(x: Tensor, added: Tensor, _bicubic: Tensor) -> Tensor:
    """Add to the levels below 128."""
    return torch.where(x < 128, (x.short() + added.short().view(-1, 1, 1, 1)).clamp_max(255), x.short()).to(torch.uint8)


def color(x: Tensor, factor: Tensor, _bicubic: Tensor) -> Tensor:
    """Between the image in grey (factor 0) and itself (1), or beyond."""
    return _blend(_grey(x), x, factor)


def contrast(x: Tensor, factor: Tensor, _bicubic: Tensor) -> Tensor:
    """Between the mean grey level (factor 0) and the image (1), or beyond."""
    return _blend((_grey(x).float().mean((1, 2, 3), keepdim=True) + 0.5).to(torch.uint8), x, factor)


def brightness(x: Tensor, factor: Tensor, _bicubic: Tensor) -> Tensor:
    """Between black (factor 0) and the image (1), or beyond."""
    return _blend(torch.zeros_like(x), x, factor)


def sharpness(x: Tensor, factor: Tensor, _bicubic: Tensor) -> Tensor:
    """Between the smoothed image (factor 0) and the image (1), or beyond; pixels at the edge stay."""
    kernel = torch.tensor(SMOOTH, dtype=torch.float32, device=x.device) / 13
    smooth = x.clone()
    inner = F.conv2d(x.flatten(0, 1).unsqueeze(1).float(), kernel.view(1, 1, 3, 3)) + 0.5
    smooth[:, :, 1:-1, 1:-1] = inner.to(torch.uint8).view(*x.shape[:2], *inner.shape[2:])
    return _blend(smooth, x, factor)


def rotate(x: Tensor, degrees: Tensor, bicubic: Tensor) -> Tensor:
    """Rotate counterclockwise around the centre."""
    (height, width), angle = x.shape[2:], -degrees.double().deg2rad()
    cos, sin = angle.cos(), angle.sin()
    shift = [width / 2 - cos * width / 2 - sin * height / 2, height / 2 + sin * width / 2 - cos * height / 2]
    return _affine(x, [cos, sin, shift[0], -sin, cos, shift[1]], bicubic)


def shear_x(x: Tensor, factor: Tensor, bicubic: Tensor) -> Tensor:
    return _affine(x, [1.0, factor, 0.0, 0.0, 1.0, 0.0], bicubic)


def shear_y(x: Tensor, factor: Tensor, bicubic: Tensor) -> Tensor:
    return _affine(x, [1.0, 0.0, 0.0, factor, 1.0, 0.0], bicubic)


def translate_x(x: Tensor, share: Tensor, bicubic: Tensor) -> Tensor:
    """Shift by a share of the width."""
    return _affine(x, [1.0, 0.0, share.double() * x.shape[3], 0.0, 1.0, 0.0], bicubic)


def translate_y(x: Tensor, share: Tensor, bicubic: Tensor) -> Tensor:
    """Shift by a share of the height."""
    return _affine(x, [1.0, 0.0, 0.0, 0.0, 1.0, share.double() * x.shape[2]], bicubic)


OPERATIONS: Mapping[str, Op] = {
    "AutoContrast": auto_contrast, "Equalize": equalize, "Invert": invert, "Rotate": rotate, "Posterize": posterize,
    "Solarize": solarize, "SolarizeAdd": solarize_add, "Color": color, "Contrast": contrast,
    "Brightness": brightness, "Sharpness": sharpness, "ShearX": shear_x, "ShearY": shear_y,
    "TranslateXRel": translate_x, "TranslateYRel": translate_y,
}  # fmt: skip
"""By timm's names, without the suffix of those whose strength increases with the magnitude."""


def _signed(most: float, level: Tensor, sign: Tensor) -> Tensor:
    return sign * level * most


def _enhanced(level: Tensor, sign: Tensor) -> Tensor:
    return (1 + sign * level * 0.9).clamp_min(0.1)


ARGUMENTS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), lambda level, _: torch.zeros_like(level)),
    "Rotate": partial(_signed, 30.0),
    "Posterize": lambda level, _: (level * 4).floor(),
    "PosterizeIncreasing": lambda level, _: 4 - (level * 4).floor(),
    "Solarize": lambda level, _: (level * 256).floor(),
    "SolarizeIncreasing": lambda level, _: 256 - (level * 256).floor(),
    "SolarizeAdd": lambda level, _: (level * 110).floor(),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda level, _: level * 1.8 + 0.1),
    **dict.fromkeys([f"{name}Increasing" for name in ("Color", "Contrast", "Brightness", "Sharpness")], _enhanced),
    **dict.fromkeys(("ShearX", "ShearY"), partial(_signed, 0.3)),
    **dict.fromkeys(("TranslateXRel", "TranslateYRel"), partial(_signed, 0.45)),
}
"""The argument of an operation by its level (N, L), 0 to 1 at timm's magnitudes 0 to 10, and a random sign (N, L)."""


def _grey(x: Tensor) -> Tensor:
    """(B, 1, H, W) uint8: the luma of a colour image, or its only channel."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMA, dtype=torch.int32, device=x.device).view(1, 3, 1, 1)
    return ((x.int() * weights).sum(1, keepdim=True) + 0x8000 >> 16).to(torch.uint8)


def _blend(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """a + share * (b - a) of images uint8, cut off to whole levels of 0 to 255."""
    return (a + share.view(-1, 1, 1, 1) * (b.float() - a.float())).clamp(0, 255).to(torch.uint8)


def _affine(x: Tensor, matrix: list[Tensor | float], bicubic: Tensor) -> Tensor:
    """Images whose pixel (column, row) is that at (a * column + b * row + c, d * column + e * row + f) of x."""
    n, _, height, width = x.shape
    exact = [torch.as_tensor(each, dtype=torch.float64, device=x.device) for each in matrix]
    a, b, c, d, e, f = (each.expand(n).view(n, 1, 1) for each in exact)
    column, row = torch.arange(width, device=x.device) + 0.5, (torch.arange(height, device=x.device) + 0.5).view(-1, 1)
    across, down = a * column + b * row + c, d * column + e * row + f
    outside = (across < 0) | (across >= width) | (down < 0) | (down >= height)
    y = torch.empty_like(x)
    for rows, taps in ((~bicubic, _linear), (bicubic, _cubic)):
        if rows.any():
            y[rows] = _sampled(x[rows], across[rows] - 0.5, down[rows] - 0.5, taps)
    return torch.where(outside.unsqueeze(1), FILL, y)


def _linear(d: Tensor) -> list[tuple[int, Tensor]]:
    """Offsets of neighbouring pixels and their weights, at the distance d from the first."""
    return [(0, 1 - d), (1, d)]


def _cubic(d: Tensor) -> list[tuple[int, Tensor]]:
    """The same for Pillow's cubic convolution in `Image.transform` (a = -1; its resize has a = -0.5)."""
    return [(-1, d * (-1 + d * (2 - d))), (0, 1 + d * d * (d - 2)), (1, d * (1 + d * (1 - d))), (2, d * d * (d - 1))]


def _sampled(x: Tensor, across: Tensor, down: Tensor, taps: Callable[[Tensor], list[tuple[int, Tensor]]]) -> Tensor:
    """Images (B, C, H, W) at the coordinates (B, H, W), of which whole numbers are pixels; the edge goes on outside."""
    (channels, height, width), pixels = x.shape[1:], x.flatten(2).float()
    left, top = across.floor(), down.floor()
    columns = [((left + offset).clamp(0, width - 1).long(), weight) for offset, weight in taps((across - left).float())]
    total = torch.zeros_like(pixels)
    for offset, vertical in taps((down - top).float()):
        row = (top + offset).clamp(0, height - 1).long() * width
        for column, horizontal in columns:
            index = (row + column).flatten(1).unsqueeze(1).expand(-1, channels, -1)
            total += pixels.gather(2, index) * (vertical * horizontal).flatten(1).unsqueeze(1)
    return total.add_(ROUNDING).clamp_(0, 255).to(torch.uint8).view_as(x)

"""Augmentation of whole batches, on the device that holds them.

`draw` decides on the CPU for all images of an epoch where to flip, crop, erase, and what RandAugment does; `augment`
carries it out. So the augmentation of an image is a function of (seed, epoch, index), whatever batch it is in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data import randaugment
from roadmap.data.rng import Stream, epoch_normals, epoch_uniforms

# Random erasing (Zhong et al., arXiv 1708.04896): share of the image and aspect ratio, as in timm.
ERASED_AREA, ERASED_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)
NOISE_OFFSETS = 1 << 18  # offsets in an epoch's noise at which the noise of an erased image may begin
TRIES = 10


@dataclass(frozen=True)
class Draws:
    """Random decisions for the N images of an epoch; None: the operation is off."""

    flipped: Tensor | None = None  # (N,) bool
    crops: Tensor | None = None  # (N, 4) int64: top, left, height, width in pixels
    operations: randaugment.Operations | None = None
    erasures: Tensor | None = None  # (N, 4) int64 likewise; height and width are 0 if nothing is erased
    noise_offsets: Tensor | None = None  # (N,) int64
    noise: Tensor | None = None  # (NOISE_OFFSETS + C*H*W,) float32


def draw(recipe: RecipeConfig, shape: torch.Size, *, seed: int, epoch: int, device: torch.device) -> Draws:
    """The draws of an epoch for images of shape (N, C, H, W); operations that are off draw nothing."""
    n, size = shape[0], shape[2:]
    draws: dict[str, Any] = {}

    def uniforms(k: int, stream: Stream) -> Tensor:
        return epoch_uniforms(seed, epoch, n, k=k, stream=stream)

    if recipe.hflip > 0:
        draws["flipped"] = uniforms(1, Stream.flips)[:, 0] < recipe.hflip
    if [*recipe.scale, *recipe.ratio] != [1, 1, 1, 1]:
        draws["crops"] = crop_boxes(uniforms(2 * TRIES + 2, Stream.crops), size, recipe.scale, ratio=recipe.ratio)
    if recipe.aa != "none":
        policy = randaugment.policy(recipe.aa)
        draws["operations"] = randaugment.draw(policy, uniforms(5 * policy.num_layers, Stream.randaugment))
    if recipe.reprob > 0:
        u = uniforms(2 * TRIES + 4, Stream.erasures)
        chosen = (u[:, 0] < recipe.reprob).nonzero().squeeze(1)
        boxes = erased_boxes(u[chosen, 2:], size)
        draws["erasures"] = boxes.new_zeros(n, 4).index_copy(0, chosen, boxes)
        draws["noise_offsets"] = (u[:, 1] * NOISE_OFFSETS).long()
        draws["noise"] = epoch_normals(seed, epoch, NOISE_OFFSETS + shape[1:].numel())
    return Draws(**{name: values.to(device) for name, values in draws.items()})


def augment(x: Tensor, index: Tensor, draws: Draws, *, data: DataConfig) -> Tensor:
    """Augment and normalize the images (B, C, H, W) uint8 at `index` (B,): (B, C, H, W) float32."""
    if draws.flipped is not None:
        x = flip(x, draws.flipped.index_select(0, index))
    if draws.operations is not None:  # on grey levels, after the crop
        if draws.crops is not None:
            x = resized_crop(x.float(), draws.crops.index_select(0, index)).add_(0.5).to(torch.uint8)
        y = normalize(randaugment.apply(x, index, draws.operations), data)
    else:
        y = normalize(x, data)
        if draws.crops is not None:
            y = resized_crop(y, draws.crops.index_select(0, index))
    if draws.erasures is not None and draws.noise_offsets is not None and draws.noise is not None:
        boxes, offsets = draws.erasures.index_select(0, index), draws.noise_offsets.index_select(0, index)
        return (erase_one_by_one if y.device.type == "cpu" else erase)(y, boxes, draws.noise, offsets=offsets)
    return y


def flip(x: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those of the images (B, C, H, W) uint8 for which `flipped` (B,) is true."""
    mask = flipped.to(torch.uint8).neg().view(-1, 1, 1, 1)  # 255 or 0: four times as fast as torch.where
    return x.flip(-1).bitwise_xor_(x).bitwise_and_(mask).bitwise_xor_(x)


def normalize(x: Tensor, data: DataConfig) -> Tensor:
    """Images (B, C, H, W) uint8 to float32: scale to 0..1, subtract data.mean, divide by data.std; keeps the layout."""
    mean, std = (torch.tensor(list(values), device=x.device) for values in (data.mean, data.std))
    if x.is_contiguous():
        return x.float().div_(255).sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))
    rows = x.permute(0, 2, 3, 1).flatten(2).float()  # (B, H, W*C): rows are faster than pixels
    width = x.shape[3]
    return rows.div_(255).sub_(mean.repeat(width)).div_(std.repeat(width)).unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def crop_boxes(u: Tensor, size: Sequence[int], scale: Sequence[float], *, ratio: Sequence[float]) -> Tensor:
    """Boxes (N, 4) for random resized crops of images of size (H, W), from uniforms (N, 2 * TRIES + 2).

    As torchvision's RandomResizedCrop: area uniform in `scale`, aspect ratio (width by height) log-uniform in
    `ratio`, whole pixels; the first of ten tries that fits, else the largest central box that `ratio` allows.
    """
    height, width = size
    boxes = _boxes(u, size, scale, ratio=ratio, longest=(height, width))
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    middle = torch.tensor([(height - h) // 2, (width - w) // 2, h, w])
    return torch.where(boxes[:, 2:3] > 0, boxes, middle)


def erased_boxes(u: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes (N, 4) for random erasing of images of size (H, W), from uniforms (N, 2 * TRIES + 2).

    As timm's RandomErasing: the first of ten tries that is smaller than the image in height and width, else zeros.
    """
    return _boxes(u, size, ERASED_AREA, ratio=ERASED_RATIO, longest=(size[0] - 1, size[1] - 1))


def resized_crop(x: Tensor, boxes: Tensor) -> Tensor:
    """Crop every image of x (B, C, S, S) to its box (B, 4) and resize it to S x S, bilinearly."""
    (start, length), size = boxes.unsqueeze(2).chunk(2, dim=1), x.shape[3]  # (B, 2, 1)
    pixels = (torch.arange(size, device=x.device) + 0.5) * (length / size) - 0.5
    pixels = torch.minimum(pixels.clamp_min(0), length - 1) + start  # (B, 2, S)
    rows, columns = ((2 * pixels + 1) / size - 1).unbind(1)  # -1..1 from edge to edge of the image
    horizontal, vertical = torch.complex(columns, 0 * columns), torch.complex(0 * rows, rows)
    grid = torch.view_as_real(horizontal.unsqueeze(1) + vertical.unsqueeze(2))  # half the time of filling x and y
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def erase(x: Tensor, boxes: Tensor, noise: Tensor, *, offsets: Tensor) -> Tensor:
    """Fill the boxes (B, 4) of the images (B, C, H, W), in place, with normal noise from their offsets (B,) on."""
    rows = boxes[:, 2].nonzero().squeeze(1)
    top, left, h, w = boxes[rows].view(-1, 4, 1, 1, 1).unbind(1)  # each (rows, 1, 1, 1)
    row = torch.arange(x.shape[2], device=x.device).view(-1, 1)
    column = torch.arange(x.shape[3], device=x.device)
    inside = ((row >= top) & (row < top + h)) & ((column >= left) & (column < left + w))
    own = noise.unfold(0, x.shape[1:].numel(), 1).index_select(0, offsets[rows])
    return x.index_copy_(0, rows, torch.where(inside, own.view(-1, *x.shape[1:]), x[rows]))


def erase_one_by_one(x: Tensor, boxes: Tensor, noise: Tensor, *, offsets: Tensor) -> Tensor:
    """`erase` on the CPU in half the time: only the boxes are written, and numpy is fast with slices."""
    rows = boxes[:, 2].nonzero().squeeze(1)
    pixels, values, shape = x.numpy(), noise.numpy(), x.shape[1:]
    size = shape.numel()
    erased = zip(rows.tolist(), offsets[rows].tolist(), boxes[rows].tolist(), strict=True)
    for row, offset, (top, left, h, w) in erased:
        box = slice(None), slice(top, top + h), slice(left, left + w)
        pixels[row][box] = values[offset : offset + size].reshape(shape)[box]
    return x


def _boxes(
    u: Tensor, size: Sequence[int], area: Sequence[float], *, ratio: Sequence[float], longest: Sequence[int]
) -> Tensor:
    """The first of TRIES boxes (N, 4) with sides up to `longest`, at a uniform position; zeros if none fits."""
    height, width = size
    shares = area[0] + u[:, :TRIES] * (area[1] - area[0])
    aspects = torch.exp(math.log(ratio[0]) + u[:, TRIES : 2 * TRIES] * math.log(ratio[1] / ratio[0]))
    h = torch.sqrt(shares * (height * width) / aspects).round()
    w = torch.sqrt(shares * (height * width) * aspects).round()
    fits = (h >= 1) & (h <= longest[0]) & (w >= 1) & (w <= longest[1])
    first = fits.int().argmax(1, keepdim=True)
    h, w, fits = (values.gather(1, first) for values in (h, w, fits))
    corner = u[:, 2 * TRIES :] * torch.cat((height - h + 1, width - w + 1), 1)
    return torch.cat((corner.floor(), h, w), 1).long() * fits

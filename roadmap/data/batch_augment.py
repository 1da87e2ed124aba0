"""Augmentation of whole batches, on the device that holds them.

Deciding and doing are apart: `draw` decides on the CPU, for every image of an epoch at once, what is flipped,
cropped and erased where; `augment` carries it out. So what becomes of an image is a function of
(seed, epoch, index), whatever batch it comes in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.rng import Stream, epoch_normals, epoch_uniforms

ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
"""Random erasing (Zhong et al., arXiv 1708.04896): share of the image and aspect ratio, as timm has them."""
NOISE_PLACES = 1 << 18
"""Places in an epoch's noise at which an erased image may begin to take its own."""
TRIES = 10


@dataclass(frozen=True)
class Draws:
    """What chance decides for the N images of an epoch; None: that operation is off."""

    flipped: Tensor | None = None
    """(N,) bool."""
    crops: Tensor | None = None
    """(N, 4) int64: top, left, height, width in pixels."""
    erasures: Tensor | None = None
    """(N, 4) int64 likewise; height and width 0 where nothing is erased."""
    noise_places: Tensor | None = None
    """(N,) int64."""
    noise: Tensor | None = None
    """(NOISE_PLACES + C*H*W,) float32."""


def draw(recipe: RecipeConfig, shape: torch.Size, *, seed: int, epoch: int, device: torch.device) -> Draws:
    """An epoch's draws for images of shape (N, C, H, W); operations that are off cost nothing."""
    n, size = shape[0], shape[2:]
    draws: dict[str, Tensor] = {}

    def uniforms(k: int, stream: Stream) -> Tensor:
        return epoch_uniforms(seed, epoch, n, k=k, stream=stream)

    if recipe.hflip > 0:
        draws["flipped"] = uniforms(1, Stream.flips)[:, 0] < recipe.hflip
    if [*recipe.scale, *recipe.ratio] != [1, 1, 1, 1]:
        draws["crops"] = crop_boxes(uniforms(2 * TRIES + 2, Stream.crops), size, recipe.scale, ratio=recipe.ratio)
    if recipe.reprob > 0:
        u = uniforms(2 * TRIES + 4, Stream.erasures)
        chosen = (u[:, 0] < recipe.reprob).nonzero().squeeze(1)
        boxes = erased_boxes(u[chosen, 2:], size)
        draws["erasures"] = boxes.new_zeros(n, 4).index_copy(0, chosen, boxes)
        draws["noise_places"] = (u[:, 1] * NOISE_PLACES).long()
        draws["noise"] = epoch_normals(seed, epoch, NOISE_PLACES + shape[1:].numel())
    return Draws(**{name: values.to(device) for name, values in draws.items()})


def augment(x: Tensor, index: Tensor, draws: Draws, *, data: DataConfig) -> Tensor:
    """Images (B, C, H, W) uint8, those at `index` (B,), augmented and normalized: (B, C, H, W) float32."""
    if draws.flipped is not None:
        x = flip(x, draws.flipped.index_select(0, index))
    y = normalize(x, data)
    if draws.crops is not None:
        y = resized_crop(y, draws.crops.index_select(0, index))
    if draws.erasures is not None and draws.noise_places is not None and draws.noise is not None:
        boxes, noise = draws.erasures.index_select(0, index), draws.noise
        places = draws.noise_places.index_select(0, index)
        return (erase_one_by_one if y.device.type == "cpu" else erase)(y, boxes, noise, places=places)
    return y


def flip(x: Tensor, flipped: Tensor) -> Tensor:
    """Images (B, C, H, W) uint8, those mirrored for which `flipped` (B,) says so.

    Where the bits of an image and of its mirror image differ, all or none turn: four times as fast as torch.where.
    """
    turned = flipped.to(torch.uint8).neg().view(-1, 1, 1, 1)  # 255 or 0
    return x.flip(-1).bitwise_xor_(x).bitwise_and_(turned).bitwise_xor_(x)


def normalize(x: Tensor, data: DataConfig) -> Tensor:
    """Images (B, C, H, W) uint8 to float32, 0..255 to 0..1, less data.mean, by data.std; the layout in memory stays."""
    mean, std = (torch.tensor(list(values), device=x.device) for values in (data.mean, data.std))
    if x.is_contiguous():
        return x.float().div_(255).sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))
    rows = x.permute(0, 2, 3, 1).flatten(2).float()  # (B, H, W*C): row by row is faster than pixel by pixel
    width = x.shape[3]
    return rows.div_(255).sub_(mean.repeat(width)).div_(std.repeat(width)).unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def crop_boxes(u: Tensor, size: Sequence[int], scale: Sequence[float], *, ratio: Sequence[float]) -> Tensor:
    """Boxes (N, 4) for random resized crops of images of size (H, W), from uniforms (N, 2 * TRIES + 2).

    As torchvision's RandomResizedCrop: area share uniform in `scale`, aspect ratio (width by height)
    log-uniform in `ratio`, whole pixels; the first of ten tries that fits, else the largest box in the middle
    that `ratio` allows.
    """
    height, width = size
    boxes = _boxes(u, size, scale, ratio=ratio, longest=(height, width))
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    middle = torch.tensor([(height - h) // 2, (width - w) // 2, h, w])
    return torch.where(boxes[:, 2:3] > 0, boxes, middle)


def erased_boxes(u: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes (N, 4) for random erasing of images of size (H, W), from uniforms (N, 2 * TRIES + 2).

    As timm's RandomErasing: the first of ten tries that is smaller than the image on both sides, else zeros.
    """
    return _boxes(u, size, ERASED_AREA, ratio=ERASED_RATIO, longest=(size[0] - 1, size[1] - 1))


def resized_crop(x: Tensor, boxes: Tensor) -> Tensor:
    """Every image of x (B, C, S, S) cut to its box (B, 4) and brought back to S x S, bilinearly."""
    start, length = boxes.unsqueeze(2).chunk(2, dim=1)
    rows, columns = _positions(start, length, x.shape[3]).unbind(1)
    along, down = torch.complex(columns, 0 * columns), torch.complex(0 * rows, rows)
    grid = torch.view_as_real(along.unsqueeze(1) + down.unsqueeze(2))  # twice as fast as filling in x and y apart
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def erase(x: Tensor, boxes: Tensor, noise: Tensor, *, places: Tensor) -> Tensor:
    """Images (B, C, H, W), in place, with their boxes (B, 4) filled with normal noise, from their places (B,) on."""
    rows = boxes[:, 2].nonzero().squeeze(1)  # the other images cost nothing
    top, left, h, w = boxes[rows].view(-1, 4, 1, 1, 1).unbind(1)  # each (rows, 1, 1, 1)
    down = torch.arange(x.shape[2], device=x.device).view(-1, 1)
    along = torch.arange(x.shape[3], device=x.device)
    inside = ((down >= top) & (down < top + h)) & ((along >= left) & (along < left + w))
    own = noise.unfold(0, x.shape[1:].numel(), 1).index_select(0, places[rows])
    return x.index_copy_(0, rows, torch.where(inside, own.view(-1, *x.shape[1:]), x[rows]))


def erase_one_by_one(x: Tensor, boxes: Tensor, noise: Tensor, *, places: Tensor) -> Tensor:
    """As `erase`, on the CPU: half the time, as only the boxes are written, and numpy is quick with slices."""
    rows = boxes[:, 2].nonzero().squeeze(1)
    pixels, values, shape = x.numpy(), noise.numpy(), x.shape[1:]
    size = shape.numel()
    for row, place, (top, left, h, w) in zip(rows.tolist(), places[rows].tolist(), boxes[rows].tolist(), strict=True):
        box = slice(None), slice(top, top + h), slice(left, left + w)
        pixels[row][box] = values[place : place + size].reshape(shape)[box]
    return x


def _boxes(
    u: Tensor, size: Sequence[int], area: Sequence[float], *, ratio: Sequence[float], longest: Sequence[int]
) -> Tensor:
    """The first of TRIES boxes (N, 4) with no side over `longest`, placed uniformly; zeros if none is."""
    height, width = size
    shares = area[0] + u[:, :TRIES] * (area[1] - area[0])
    aspects = torch.exp(math.log(ratio[0]) + u[:, TRIES : 2 * TRIES] * math.log(ratio[1] / ratio[0]))
    h = torch.sqrt(shares * (height * width) / aspects).round()
    w = torch.sqrt(shares * (height * width) * aspects).round()
    fits = (h >= 1) & (h <= longest[0]) & (w >= 1) & (w <= longest[1])
    first = fits.int().argmax(1, keepdim=True)
    h, w, fits = (values.gather(1, first) for values in (h, w, fits))
    place = u[:, 2 * TRIES :] * torch.cat((height - h + 1, width - w + 1), 1)
    return torch.cat((place.floor(), h, w), 1).long() * fits


def _positions(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where (B, 2, size) a crop's rows and columns lie, -1..1 from edge to edge, for start and length (B, 2, 1)."""
    pixels = (torch.arange(size, device=start.device) + 0.5) * (length / size) - 0.5
    pixels = torch.minimum(pixels.clamp_min(0), length - 1) + start
    return (2 * pixels + 1) / size - 1

"""RandAugment of batches against timm's, operation by operation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.batches import MIXED, by_index, some
from PIL import Image
from timm.data.auto_augment import NAME_TO_OP
from torch import Tensor

from roadmap.data.randaugment import ARGUMENTS, OPERATIONS, Operations, apply, draw, policy
from roadmap.data.rng import Stream, epoch_uniforms

RAND = "rand-m9-mstd0.5-inc1"
GEOMETRIC = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
WHOLE = ("Posterize", "Solarize", "SolarizeAdd")  # whole arguments
N = 24


def pictures(channels: int = 3) -> Tensor:
    """Smooth images (N, channels, 20, 28) with some noise, and two of one grey level."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(N, channels, 4, 4, generator=generator), size=(20, 28), mode="bicubic") * 150 + 40
    x = (smooth + 10 * torch.randn(smooth.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    x[0], x[1] = 0, 77
    return x


def by_timm(x: Tensor, name: str, argument: float, bicubic: bool) -> Tensor:
    """An image (C, H, W) after timm's operation."""
    image = Image.fromarray(x.squeeze(0).numpy() if len(x) == 1 else x.permute(1, 2, 0).numpy())
    own = [] if name in ("AutoContrast", "Equalize", "Invert") else [int(argument) if name in WHOLE else argument]
    if name == "Posterize" and own == [0]:
        return torch.zeros_like(x)  # Pillow of the paper's time; that of today raises an error
    filter_ = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    fill = (128,) * 3 if len(x) == 3 else 128
    done = torch.as_tensor(np.array(NAME_TO_OP[name](image, *own, resample=filter_, fillcolor=fill)))
    return done[None] if done.ndim == 2 else done.permute(2, 0, 1)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", sorted(ARGUMENTS))
def test_each_operation_is_timms_on_the_same_draw(kind: str, channels: int) -> None:
    x, name = pictures(channels), kind.removesuffix("Increasing")
    generator = torch.Generator().manual_seed(1)
    level, sign = torch.linspace(0, 1, N), torch.where(torch.rand(N, generator=generator) > 0.5, -1.0, 1.0)
    bicubic, argument = torch.rand(N, generator=generator) > 0.5, ARGUMENTS[kind](level, sign)
    ours = OPERATIONS[name](x, argument, bicubic)
    timms = torch.stack(
        [by_timm(*each) for each in zip(x, [name] * N, argument.tolist(), bicubic.tolist(), strict=True)]
    )
    difference = (ours.int() - timms.int()).abs()
    assert ours.dtype == torch.uint8 and ours.shape == x.shape
    if name in GEOMETRIC:
        assert difference.max() <= 1 and (difference > 0).float().mean() < 0.02
    else:
        assert difference.max() == 0
    assert torch.equal(ours, x) == (name == "Color" and channels == 1)


def test_the_draws_are_those_of_the_policy() -> None:
    drawn = draw(policy(RAND), epoch_uniforms(0, 0, 20_000, k=10, stream=Stream.randaugment))
    assert len(drawn.names) == 15 and drawn.op.shape == (20_000, 2)
    assert (drawn.op < 0).float().mean() == pytest.approx(0.5, abs=0.01)
    shares = torch.bincount(drawn.op[drawn.op >= 0], minlength=15) / (drawn.op >= 0).sum()
    assert shares.amin() > 0.06 and shares.amax() < 0.073
    turned = drawn.argument[drawn.op == drawn.names.index("Rotate")]
    assert turned.abs().mean() == pytest.approx(27, abs=0.2) and turned.abs().amax() == 30  # magnitude 9 of 10
    assert (turned > 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.bicubic.float().mean() == pytest.approx(0.5, abs=0.01)


def test_layers_follow_each_other_and_images_without_an_operation_stay() -> None:
    x = pictures()
    names = ("Invert", "SolarizeAdd")
    op = torch.tensor([[0, 1], [1, 0], [-1, -1]])
    drawn = Operations(names, op, torch.full((3, 2), 50.0), torch.zeros(3, 2, dtype=torch.bool))
    before = x.clone()
    done = apply(x[2:5], torch.tensor([0, 1, 2]), drawn)
    add = lambda image: OPERATIONS["SolarizeAdd"](image[None], torch.tensor([50.0]), op[0, :1] > 0)[0]  # noqa: E731
    assert torch.equal(done[0], add(255 - x[2])) and torch.equal(done[1], 255 - add(x[3]))
    assert torch.equal(done[2], x[4]) and torch.equal(x, before)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = some(64)
    recipe = replace(MIXED, aa=RAND, mixup_prob=0.0, smoothing=0.0)
    whole, parts = (by_index(images, replace(recipe, bn_batch_size=size)) for size in (64, 8))
    assert torch.equal(whole[: len(parts)], parts)
    assert not torch.equal(whole, by_index(images, replace(recipe, aa="none")))
    assert not torch.equal(whole, by_index(images, recipe, epoch=1))

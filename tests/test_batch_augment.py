"""Augmentation of batches: distributions of torchvision and timm, and no dependence on the batch."""

import random
from dataclasses import replace

import pytest
import torch
from helpers.batches import CPU, CROP, DATA, ERASE, FLIP, PLAIN, SINGLE, by_index, some
from scipy.stats import kstest
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as vision

from roadmap.config.schema import RecipeConfig
from roadmap.data.batch_augment import (
    Draws,
    augment,
    crop_boxes,
    draw,
    erase,
    erase_one_by_one,
    erased_boxes,
    resized_crop,
)
from roadmap.data.rng import Stream, epoch_uniforms


@pytest.mark.parametrize("recipe", [FLIP, CROP, ERASE, SINGLE], ids=["flip", "crop", "erase", "all"])
def test_an_image_does_not_depend_on_its_batch(recipe: RecipeConfig) -> None:
    images = some(96)
    one = by_index(images, replace(recipe, batch_size=1))
    for batch_size in (3, 16, 96):
        assert torch.equal(by_index(images, replace(recipe, batch_size=batch_size)), one)
    assert not torch.equal(by_index(images, recipe, epoch=1), one)
    assert not torch.equal(by_index(images, recipe, seed=1), one)


def test_the_draws_of_one_operation_do_not_depend_on_the_others() -> None:
    shape = torch.Size((50, 3, 32, 32))
    every = draw(SINGLE, shape, seed=1, epoch=2, device=CPU)
    for recipe, name in ((FLIP, "flipped"), (CROP, "crops"), (ERASE, "erasures"), (ERASE, "noise")):
        assert torch.equal(getattr(draw(recipe, shape, seed=1, epoch=2, device=CPU), name), getattr(every, name))
    assert draw(PLAIN, shape, seed=1, epoch=2, device=CPU) == Draws(), "operations that are off draw nothing"


def test_flips() -> None:
    images = some(2000)
    plain, flipped = by_index(images, PLAIN), by_index(images, FLIP)
    mirrored = (flipped == plain.flip(-1)).flatten(1).all(1)
    assert torch.equal(flipped[~mirrored], plain[~mirrored])
    assert abs(mirrored.float().mean().item() - 0.5) < 4 * (0.25 / 2000) ** 0.5
    assert torch.equal(by_index(images, replace(PLAIN, hflip=1.0)), plain.flip(-1))


def drawn_alike(boxes: Tensor, theirs: Tensor) -> bool:
    """Whether area, aspect ratio and both positions of boxes (N, 4) and (M, 4) have the same distribution."""
    measures = [torch.stack((b[:, 2] * b[:, 3], b[:, 3] / b[:, 2], b[:, 0], b[:, 1])).numpy() for b in (boxes, theirs)]
    return all(kstest(a, b).pvalue > 1e-3 for a, b in zip(*measures, strict=True))


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [([0.08, 1.0], [3 / 4, 4 / 3]), ([0.77, 1.0], [0.94, 1.08]), ([0.9, 1.0], [0.4, 0.5]), ([1.0, 1.0], [2.0, 3.0])],
    ids=["published", "mild", "tall", "never fits"],
)
def test_crops_are_drawn_as_torchvision_draws_them(scale: list[float], ratio: list[float]) -> None:
    boxes = crop_boxes(epoch_uniforms(0, 0, 20_000, k=22, stream=Stream.crops), [32, 32], scale, ratio=ratio)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all() and (boxes[:, :2] + boxes[:, 2:] <= 32).all()
    torch.manual_seed(0)
    image = torch.zeros(1, 32, 32)
    assert drawn_alike(boxes, torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(4000)]))


def test_crops_are_resized_as_torchvision_resizes_them() -> None:
    x = torch.rand(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    u = epoch_uniforms(0, 0, 200, k=22, stream=Stream.crops)
    boxes = crop_boxes(u, [32, 32], [0.08, 1.0], ratio=[3 / 4, 4 / 3])
    boxes[:2] = torch.tensor([[0, 0, 32, 32], [31, 0, 1, 7]])
    ours = resized_crop(x, boxes)
    for i, box in enumerate(boxes.tolist()):
        torch.testing.assert_close(ours[i], vision.resized_crop(x[i], *box, [32, 32]), atol=1e-5, rtol=0)


def test_a_crop_belongs_to_its_image() -> None:
    images = some(40)
    crops = draw(CROP, images.shape, seed=0, epoch=0, device=CPU).crops
    expected = resized_crop(by_index(images, replace(PLAIN, batch_size=40)), crops)
    assert torch.equal(by_index(images, replace(CROP, batch_size=40)), expected)


def test_erasures_are_drawn_as_timm_draws_them() -> None:
    boxes = erased_boxes(epoch_uniforms(0, 0, 20_000, k=22, stream=Stream.erasures), [32, 32])
    boxes = boxes[boxes[:, 2] > 0]
    assert len(boxes) > 19_990
    random.seed(0)
    torch.manual_seed(0)
    theirs = RandomErasing(probability=1.0, mode="pixel", device="cpu")(torch.zeros(3000, 1, 32, 32))[:, 0] != 0
    top, left = theirs.any(2).int().argmax(1), theirs.any(1).int().argmax(1)
    assert drawn_alike(boxes, torch.stack((top, left, theirs.any(2).sum(1), theirs.any(1).sum(1)), 1))


def test_erasing_fills_the_box_with_noise_and_nothing_else() -> None:
    images = some(4000)
    plain, erased = by_index(images, PLAIN), by_index(images, ERASE)
    boxes = draw(ERASE, images.shape, seed=0, epoch=0, device=CPU).erasures
    changed = (plain != erased).all(1)
    touched = changed.flatten(1).any(1)
    assert torch.equal(touched, boxes[:, 2] > 0)
    assert abs(touched.float().mean().item() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    for i in touched.nonzero()[:50, 0].tolist():
        top, left, height, width = boxes[i].tolist()
        assert changed[i, top : top + height, left : left + width].all() and changed[i].sum() == height * width
    noise = erased[(plain != erased)]
    assert abs(noise.mean().item()) < 0.01 and abs(noise.std().item() - 1) < 0.01


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_methods_of_erasing_agree(channels: int, layout: torch.memory_format) -> None:
    draws = draw(ERASE, torch.Size((200, channels, 32, 32)), seed=0, epoch=0, device=CPU)
    x = torch.randn(200, channels, 32, 32).contiguous(memory_format=layout)
    together, apart = (
        method(x.clone(), draws.erasures, draws.noise, offsets=draws.noise_offsets)
        for method in (erase, erase_one_by_one)
    )
    assert torch.equal(together, apart) and not torch.equal(together, x)
    box, noise = torch.tensor([[0, 0, 8, 8]] * 2), torch.randn(64 * channels + 5)
    whole = erase(torch.zeros(2, channels, 8, 8), box, noise, offsets=torch.tensor([0, 5]))
    assert torch.equal(whole.flatten(1), torch.stack((noise[:-5], noise[5:]))), "every offset gives other noise"


def test_the_memory_format_changes_no_bit() -> None:
    planes, index = some(16).images, torch.arange(16)
    draws = draw(replace(ERASE, reprob=0.7), planes.shape, seed=1, epoch=0, device=CPU)
    pixels = planes.contiguous(memory_format=torch.channels_last)
    found = augment(pixels, index, draws, data=DATA)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, augment(planes, index, draws, data=DATA))

"""Batches: what is done to an image, and that nothing but seed, epoch and index decides it."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor
from torchvision.transforms.v2 import functional as vision

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data import batch_augment as transforms
from roadmap.data.batch_augment import augment, crop_boxes, draw, erase, erase_one_by_one, erased_boxes, resized_crop
from roadmap.data.in_memory import Images
from roadmap.data.loader import batches_per_epoch, evaluation_batches, micro_batches, mixup_seed
from roadmap.data.rng import Stream, epoch_order, epoch_uniforms, mix, numpy_seeded
from roadmap.errors import ConfigError

PLAIN = RecipeConfig(batch_size=16, bn_batch_size=1000, scale=[1.0, 1.0], ratio=[1.0, 1.0])
FLIP = replace(PLAIN, hflip=0.5)
CROP = replace(PLAIN, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3])
ERASE = replace(PLAIN, reprob=0.25)
SINGLE = replace(CROP, hflip=0.5, reprob=0.25)
MIXED = replace(SINGLE, mixup=0.8, cutmix=1.0, mixup_prob=0.9, smoothing=0.1)
DATA = DataConfig(name="cifar10", in_chans=3, num_classes=10, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.25], img_size=32)
GREY = replace(DATA, in_chans=1, mean=[0.286], std=[0.353])
CPU = torch.device("cpu")


def some(n: int, data: DataConfig = DATA) -> Images:
    generator = torch.Generator().manual_seed(n)
    size = (n, data.in_chans, data.img_size, data.img_size)
    return Images(
        torch.randint(256, size, dtype=torch.uint8, generator=generator),
        torch.randint(data.num_classes, (n,), generator=generator),
    )


def same(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, z) and torch.equal(t, u) for (x, t), (z, u) in zip(a, b, strict=True)
    )


def by_index(images: Images, recipe: RecipeConfig, *, epoch: int = 0, seed: int = 0) -> Tensor:
    """An epoch's images, back in their own order."""
    x = torch.cat([x for x, _ in micro_batches(images, recipe, DATA, seed=seed, epoch=epoch)])
    order = epoch_order(seed, epoch, len(images))
    return torch.empty_like(x).index_copy_(0, order[: len(x)], x)


@pytest.mark.parametrize("data", [DATA, GREY], ids=["colour", "grey"])
def test_without_augmentation_it_is_plain_normalization(data: DataConfig) -> None:
    images = some(64, data)
    plain = Compose([ToTensor(), Normalize(data.mean, data.std)])
    expected = torch.stack([plain(image.permute(1, 2, 0).numpy()) for image in images.images])
    order = epoch_order(5, 2, 64)
    batches = list(micro_batches(images, PLAIN, data, seed=5, epoch=2))
    assert torch.equal(torch.cat([x for x, _ in batches]), expected[order])
    assert torch.equal(torch.cat([t for _, t in batches]), images.labels[order])
    tested = list(evaluation_batches(images, data, 25))
    assert [len(x) for x, _ in tested] == [25, 25, 14]
    assert torch.equal(torch.cat([x for x, _ in tested]), expected)
    assert torch.equal(torch.cat([t for _, t in tested]), images.labels)


@pytest.mark.parametrize("recipe", [PLAIN, MIXED], ids=["plain", "mixed"])
@pytest.mark.parametrize("data", [DATA, GREY], ids=["colour", "grey"])
def test_layout_is_channels_last_and_stays_so(data: DataConfig, recipe: RecipeConfig) -> None:
    c = data.in_chans
    conv = torch.nn.Conv2d(c, 8, 4, 4)  # of one channel, its weight says nothing about the layout
    for x, _ in [
        *micro_batches(some(32, data), recipe, data, seed=0, epoch=0),
        *evaluation_batches(some(16, data), data, 16),
    ]:
        assert x.dtype == torch.float32
        assert x.shape == (16, c, 32, 32)
        assert x.stride() == (c * 32 * 32, 1, c * 32, c)
        assert conv(x).is_contiguous(memory_format=torch.channels_last)


def test_the_images_themselves_stay_as_they_are() -> None:
    images = some(32)
    before = images.images.clone()
    list(micro_batches(images, replace(MIXED, hflip=1.0, reprob=1.0), DATA, seed=0, epoch=0))
    assert torch.equal(images.images, before)


def test_an_epoch_has_every_image_once_but_for_a_rest() -> None:
    images = replace(some(70), labels=torch.arange(70))
    assert batches_per_epoch(images, PLAIN) == 4
    epochs = [torch.cat([t for _, t in micro_batches(images, PLAIN, DATA, seed=0, epoch=e)]) for e in range(3)]
    for labels in epochs:
        assert len(labels) == 64 == len(labels.unique())
    assert not torch.equal(epochs[0], epochs[1])
    assert set(epochs[0].tolist()) != set(epochs[1].tolist())


@pytest.mark.parametrize("recipe", [PLAIN, SINGLE, MIXED], ids=["plain", "single", "mixed"])
def test_an_epoch_can_be_entered_anywhere(recipe: RecipeConfig) -> None:
    whole = list(micro_batches(some(100), recipe, DATA, seed=3, epoch=4))
    for start in (1, 4, 6):
        assert same(list(micro_batches(some(100), recipe, DATA, seed=3, epoch=4, start=start)), whole[start:])


@pytest.mark.parametrize("recipe", [FLIP, CROP, ERASE, SINGLE], ids=["flip", "crop", "erase", "all"])
def test_an_image_does_not_depend_on_its_batch(recipe: RecipeConfig) -> None:
    images = some(96)
    one = by_index(images, replace(recipe, batch_size=1))
    for batch_size in (3, 16, 96):
        assert torch.equal(by_index(images, replace(recipe, batch_size=batch_size)), one)
    assert not torch.equal(by_index(images, recipe, epoch=1), one)
    assert not torch.equal(by_index(images, recipe, seed=1), one)


def test_one_operation_more_or_less_changes_no_other() -> None:
    shape = torch.Size((50, 3, 32, 32))
    every = draw(SINGLE, shape, seed=1, epoch=2, device=CPU)
    for recipe, name in ((FLIP, "flipped"), (CROP, "crops"), (ERASE, "erasures"), (ERASE, "noise")):
        assert torch.equal(getattr(draw(recipe, shape, seed=1, epoch=2, device=CPU), name), getattr(every, name))


def test_what_is_off_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "epoch_uniforms", None)
    monkeypatch.setattr(transforms, "epoch_normals", None)
    assert draw(PLAIN, torch.Size((8, 3, 32, 32)), seed=0, epoch=0, device=CPU) == transforms.Draws()


def test_flips() -> None:
    images = some(2000)
    plain, flipped = by_index(images, PLAIN), by_index(images, FLIP)
    mirrored = (flipped == plain.flip(-1)).flatten(1).all(1)
    assert torch.equal(flipped[~mirrored], plain[~mirrored])
    assert abs(mirrored.float().mean().item() - 0.5) < 4 * (0.25 / 2000) ** 0.5
    assert torch.equal(by_index(images, replace(PLAIN, hflip=1.0)), plain.flip(-1))


def shares(boxes: Tensor, size: int = 32) -> np.ndarray:
    return (boxes[:, 2] * boxes[:, 3] / size**2).numpy()


def aspects(boxes: Tensor) -> np.ndarray:
    return (boxes[:, 3] / boxes[:, 2]).numpy()


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [
        ([0.08, 1.0], [3 / 4, 4 / 3]),
        ([0.77, 1.0], [0.94, 1.08]),
        ([0.9, 1.0], [0.4, 0.5]),
        ([1.0, 1.0], [2.0, 3.0]),
    ],
    ids=["published", "mild", "tall", "never fits"],
)
def test_crops_are_drawn_as_torchvision_draws_them(scale: list[float], ratio: list[float]) -> None:
    boxes = crop_boxes(epoch_uniforms(0, 0, 20_000, k=22, stream=Stream.crops), [32, 32], scale, ratio=ratio)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 32).all()
    torch.manual_seed(0)
    image = torch.zeros(1, 32, 32)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(4000)])
    for measure in (shares, aspects, lambda b: b[:, 0].numpy(), lambda b: b[:, 1].numpy()):
        assert kstest(measure(boxes), measure(theirs)).pvalue > 1e-3


def test_crops_are_resized_as_torchvision_resizes_them() -> None:
    x = torch.rand(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    boxes = crop_boxes(
        epoch_uniforms(0, 0, 200, k=22, stream=Stream.crops), [32, 32], [0.08, 1.0], ratio=[3 / 4, 4 / 3]
    )
    boxes[0] = torch.tensor([0, 0, 32, 32])
    boxes[1] = torch.tensor([31, 0, 1, 7])
    ours = resized_crop(x, boxes)
    for i, box in enumerate(boxes.tolist()):
        torch.testing.assert_close(ours[i], vision.resized_crop(x[i], *box, [32, 32]), atol=1e-5, rtol=0)


def test_crop_comes_with_its_image() -> None:
    images = some(40)
    crops = draw(CROP, images.images.shape, seed=0, epoch=0, device=CPU).crops
    assert crops is not None
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
    timm = torch.stack((top, left, theirs.any(2).sum(1), theirs.any(1).sum(1)), 1)
    for measure in (shares, aspects, lambda b: b[:, 0].numpy(), lambda b: b[:, 1].numpy()):
        assert kstest(measure(boxes), measure(timm)).pvalue > 1e-3


def test_erasing_puts_noise_into_the_box_and_nowhere_else() -> None:
    images = some(4000)
    plain, erased = by_index(images, PLAIN), by_index(images, ERASE)
    boxes = draw(ERASE, images.images.shape, seed=0, epoch=0, device=CPU).erasures
    assert boxes is not None
    changed = (plain != erased).all(1)
    touched = changed.flatten(1).any(1)
    assert torch.equal(touched, boxes[:, 2] > 0)
    assert abs(touched.float().mean().item() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    for i in touched.nonzero()[:50, 0].tolist():
        top, left, height, width = boxes[i].tolist()
        assert changed[i, top : top + height, left : left + width].all()
        assert changed[i].sum() == height * width
    noise = erased[(plain != erased)]
    assert abs(noise.mean().item()) < 0.01
    assert abs(noise.std().item() - 1) < 0.01


@pytest.mark.parametrize("way", [erase, erase_one_by_one])
def test_every_place_gives_other_noise(way: Callable[..., Tensor]) -> None:
    x, box, noise = torch.zeros(2, 3, 8, 8), torch.tensor([[0, 0, 8, 8]] * 2), torch.randn(3 * 64 + 5)
    erased = way(x, box, noise, offsets=torch.tensor([0, 5]))
    assert torch.equal(erased[0].flatten(), noise[:192])
    assert torch.equal(erased[1].flatten(), noise[5:])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_erasing_one_by_one_and_all_at_once_are_the_same(channels: int, layout: torch.memory_format) -> None:
    draws = draw(ERASE, torch.Size((200, channels, 32, 32)), seed=0, epoch=0, device=CPU)
    assert draws.erasures is not None and draws.noise_offsets is not None and draws.noise is not None
    x = torch.randn(200, channels, 32, 32).contiguous(memory_format=layout)
    together = erase(x.clone(), draws.erasures, draws.noise, offsets=draws.noise_offsets)
    apart = erase_one_by_one(x.clone(), draws.erasures, draws.noise, offsets=draws.noise_offsets)
    assert not torch.equal(together, x)
    assert torch.equal(together, apart)


@pytest.mark.parametrize(
    ("mixup", "cutmix", "prob"),
    [(0.8, 1.0, 1.0), (0.8, 0.0, 0.5), (0.0, 1.0, 1.0)],
    ids=["both", "mixup", "cutmix"],
)
def test_mixing_is_timms_own(mixup: float, cutmix: float, prob: float) -> None:
    images, seed, epoch = some(100), 7, 3
    recipe = replace(FLIP, mixup=mixup, cutmix=cutmix, mixup_prob=prob, mixup_switch_prob=0.4, smoothing=0.1)
    timm = Mixup(mixup, cutmix, prob=prob, switch_prob=0.4, label_smoothing=0.1, num_classes=10)
    unmixed = micro_batches(images, FLIP, DATA, seed=seed, epoch=epoch)
    mixed = micro_batches(images, recipe, DATA, seed=seed, epoch=epoch)
    for i, ((x, labels), (y, targets)) in enumerate(zip(unmixed, mixed, strict=True)):
        np.random.seed(mixup_seed(seed, epoch * 6 + i) % 2**32)
        x, labels = timm(x, labels)
        assert torch.equal(y, x)
        assert torch.equal(targets, labels)
        assert targets.shape == (16, 10)
        torch.testing.assert_close(targets.sum(1), torch.ones(16))
    assert i == 5


def test_mixed_targets_are_two_smoothed_classes_by_their_shares() -> None:
    recipe = replace(MIXED, smoothing=0.1)
    images = some(64)
    order = epoch_order(0, 0, 64).split(recipe.batch_size)
    for index, (_, targets) in zip(order, micro_batches(images, recipe, DATA, seed=0, epoch=0), strict=True):
        one = torch.full((len(index), 10), 0.01).scatter_(1, images.labels[index][:, None], 0.91)
        other = one.flip(0)
        differ = (one != other).any(1)
        shares = ((targets - other) * (one - other)).sum(1)[differ] / (one - other).square().sum(1)[differ]
        torch.testing.assert_close(shares, shares[:1].expand_as(shares))  # one share for the batch
        assert 0 <= shares[0] <= 1
        torch.testing.assert_close(targets, shares[0] * one + (1 - shares[0]) * other)


@pytest.mark.parametrize("change", [{"mixup_prob": 0.0}, {"mixup": 0.0, "cutmix": 0.0}])
def test_without_mixing_targets_are_classes(change: dict[str, float]) -> None:
    for _, targets in micro_batches(some(32), replace(MIXED, **change), DATA, seed=0, epoch=0):
        assert targets.dtype == torch.int64


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_passes_of_every_step(world: int) -> None:
    recipe, images = replace(MIXED, bn_batch_size=4), some(40)
    whole = list(micro_batches(images, recipe, DATA, seed=0, epoch=1, start=1))
    assert [len(x) for x, _ in whole] == [4] * 4
    parts = [micro_batches(images, recipe, DATA, seed=0, epoch=1, start=1, share=(r, world)) for r in range(world)]
    assert same([batch for part in parts for batch in part], whole)
    unmixed = micro_batches(images, SINGLE, DATA, seed=0, epoch=1, start=1)
    assert not torch.equal(torch.cat([x for x, _ in whole]), next(unmixed)[0])
    first, second = (sorted(set(t.flatten().tolist())) for _, t in whole[:2])
    assert first != second, "every pass draws its own share"


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_the_evaluation_without_padding(world: int) -> None:
    images = some(23)
    batches = [list(evaluation_batches(images, DATA, 5, share=(rank, world))) for rank in range(world)]
    assert sum(len(x) for share in batches for x, _ in share) == 23
    whole = list(evaluation_batches(images, DATA, 5))
    assert all(same(share, whole[rank::world]) for rank, share in enumerate(batches))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 41}, "recipe.batch_size=41: allowed is up to 40, the training images"),
        ({"batch_size": 15}, "recipe.batch_size=15: allowed is an even number with mixup or cutmix"),
        (
            {"aa": "rand-m9-mstd0.5-inc1"},
            "recipe.aa=rand-m9-mstd0.5-inc1: allowed is none for data held in memory",
        ),
    ],
)
def test_refusals_come_at_the_call(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        micro_batches(some(40), replace(MIXED, **change), DATA, seed=0, epoch=0)
    assert str(caught.value).startswith(message)


def test_global_generators_neither_decide_nor_move() -> None:
    def states() -> tuple[bytes, bytes, object]:
        return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()

    before = states()
    first = list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0))
    assert states() == before
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    assert same(list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0)), first)


def test_numpys_state_comes_back_after_an_error() -> None:
    before = np.random.get_state()[1].copy()
    with pytest.raises(KeyError), numpy_seeded(2**40):
        np.random.rand()
        raise KeyError
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_deterministic_algorithms_and_threads_change_nothing(deterministic: None) -> None:
    threads = torch.get_num_threads()
    batches = list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0))
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1 if threads > 1 else 2)
    again = list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0))
    torch.set_num_threads(threads)
    assert same(batches, again)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_batches() -> None:
    images = some(64)
    here = micro_batches(images, MIXED, DATA, seed=0, epoch=0)
    there = micro_batches(images.to("cuda"), MIXED, DATA, seed=0, epoch=0)
    for (x, t), (y, u) in zip(here, there, strict=True):
        assert y.is_cuda and u.is_cuda
        torch.testing.assert_close(y.cpu(), x, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(u.cpu(), t)


def test_mix_scatters() -> None:
    values = {mix(seed, step) for seed in range(100) for step in range(100)}
    assert len(values) == 10_000
    assert all(0 <= value < 2**63 for value in values)
    assert len({value % 2**32 for value in values}) > 9_990
    assert len({mix(), mix(0), mix(1), mix(0, 0), mix(1, 2), mix(2, 1), mix(12)}) == 7
    assert mix(0, Stream.crops) == mix(0, 2)
    assert (
        mix(1, 2, 3) == 2904650318439132554
    )  # stays what it is, or a run taken up by a newer version would change course


def correlation(a: Tensor, b: Tensor) -> float:
    return abs(torch.corrcoef(torch.stack((a.flatten().double(), b.flatten().double())))[0, 1].item())


@pytest.mark.parametrize(
    "numbers", [lambda *a, s: epoch_uniforms(*a, 5000, k=2, stream=s), lambda *a, s: epoch_order(*a, 10_000)]
)
def test_neighbouring_seeds_and_epochs_are_unrelated(numbers: Callable[..., Tensor]) -> None:
    reference = numbers(0, 0, s=Stream.crops)
    assert torch.equal(numbers(0, 0, s=Stream.crops), reference)
    for other in ((0, 1), (1, 0), (1, 1)):
        assert correlation(numbers(*other, s=Stream.crops), reference) < 0.04
    assert correlation(epoch_uniforms(0, 0, 5000, k=2, stream=Stream.flips), reference) < 0.04
    assert torch.equal(epoch_order(0, 0, 100).sort().values, torch.arange(100))


def test_the_layout_in_memory_changes_no_bit() -> None:
    planes = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    index = torch.arange(16)
    draws = draw(replace(ERASE, reprob=0.7), planes.shape, seed=1, epoch=0, device=CPU)
    pixels = planes.contiguous(memory_format=torch.channels_last)
    found = augment(pixels, index, draws, data=DATA)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, augment(planes, index, draws, data=DATA))

"""Batches: a function of seed, epoch and index alone, in channels-last format, with timm's mixup."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.batches import DATA, FLIP, GREY, MIXED, PLAIN, SINGLE, same, some
from timm.data import Mixup
from torchvision.transforms import Compose, Normalize, ToTensor

from roadmap.config.schema import DataConfig, RecipeConfig
from roadmap.data.loader import batches_per_epoch, evaluation_batches, micro_batches
from roadmap.data.rng import Stream, epoch_order, mix
from roadmap.errors import ConfigError


@pytest.mark.parametrize("data", [DATA, GREY], ids=["colour", "grey"])
def test_without_augmentation_images_are_only_normalized(data: DataConfig) -> None:
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
def test_batches_are_channels_last_and_stay_so(data: DataConfig, recipe: RecipeConfig) -> None:
    c = data.in_chans
    conv = torch.nn.Conv2d(c, 8, 4, 4)  # of one channel, its weight says nothing about the layout
    training = micro_batches(some(32, data), recipe, data, seed=0, epoch=0)
    for x, _ in [*training, *evaluation_batches(some(16, data), data, 16)]:
        assert (x.dtype, x.shape, x.stride()) == (torch.float32, (16, c, 32, 32), (c * 32 * 32, 1, c * 32, c))
        assert conv(x).is_contiguous(memory_format=torch.channels_last)


def test_an_epoch_has_every_image_once_but_for_a_remainder() -> None:
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


@pytest.mark.parametrize(("mixup", "cutmix", "prob"), [(0.8, 1.0, 1.0), (0.8, 0.0, 0.5), (0.0, 1.0, 1.0)])
def test_mixup_and_cutmix_are_timms(mixup: float, cutmix: float, prob: float) -> None:
    images, seed, epoch = some(100), 7, 3
    recipe = replace(FLIP, mixup=mixup, cutmix=cutmix, mixup_prob=prob, mixup_switch_prob=0.4, smoothing=0.1)
    timm = Mixup(mixup, cutmix, prob=prob, switch_prob=0.4, label_smoothing=0.1, num_classes=10)
    unmixed = micro_batches(images, FLIP, DATA, seed=seed, epoch=epoch)
    mixed = micro_batches(images, recipe, DATA, seed=seed, epoch=epoch)
    for i, ((x, labels), (y, targets)) in enumerate(zip(unmixed, mixed, strict=True)):
        np.random.seed(mix(seed, epoch * 6 + i, Stream.mixup) % 2**32)
        x, labels = timm(x, labels)
        assert torch.equal(y, x) and torch.equal(targets, labels)
        assert targets.shape == (16, 10)
        torch.testing.assert_close(targets.sum(1), torch.ones(16))
    assert i == 5


@pytest.mark.parametrize("change", [{"mixup_prob": 0.0}, {"mixup": 0.0, "cutmix": 0.0}])
def test_without_mixup_targets_are_classes(change: dict[str, float]) -> None:
    for _, targets in micro_batches(some(32), replace(MIXED, **change), DATA, seed=0, epoch=0):
        assert targets.dtype == torch.int64


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_micro_batches_of_every_step(world: int) -> None:
    recipe, images = replace(MIXED, bn_batch_size=4), some(40)
    whole = list(micro_batches(images, recipe, DATA, seed=0, epoch=1, start=1))
    assert [len(x) for x, _ in whole] == [4] * 4
    parts = [micro_batches(images, recipe, DATA, seed=0, epoch=1, start=1, share=(r, world)) for r in range(world)]
    assert same([batch for part in parts for batch in part], whole)
    unmixed = micro_batches(images, SINGLE, DATA, seed=0, epoch=1, start=1)
    assert not torch.equal(torch.cat([x for x, _ in whole]), next(unmixed)[0])
    first, second = (sorted(set(t.flatten().tolist())) for _, t in whole[:2])
    assert first != second, "every micro-batch draws its own share"


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
    ],
)
def test_refusals_come_at_the_call(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        micro_batches(some(40), replace(MIXED, **change), DATA, seed=0, epoch=0)
    assert str(caught.value).startswith(message)


def test_global_generators_neither_matter_nor_change_nor_do_the_images() -> None:
    images, copy = some(64), some(64)

    def states() -> tuple[bytes, bytes, object]:
        return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()

    before = states()
    first = list(micro_batches(images, MIXED, DATA, seed=0, epoch=0))
    assert states() == before and torch.equal(images.images, copy.images)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    assert same(list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0)), first)


def test_deterministic_algorithms_and_threads_change_nothing() -> None:
    threads, batches = torch.get_num_threads(), []
    try:
        for deterministic, number in ((True, threads), (False, 1 if threads > 1 else 2)):
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(number)
            batches.append(list(micro_batches(some(64), MIXED, DATA, seed=0, epoch=0)))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    assert same(*batches)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_batches() -> None:
    images = some(64)
    here = micro_batches(images, MIXED, DATA, seed=0, epoch=0)
    there = micro_batches(images.to("cuda"), MIXED, DATA, seed=0, epoch=0)
    for (x, t), (y, u) in zip(here, there, strict=True):
        assert y.is_cuda and u.is_cuda
        torch.testing.assert_close(y.cpu(), x, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(u.cpu(), t)

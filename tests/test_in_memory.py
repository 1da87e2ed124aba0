"""Images in memory: which ones, how many, and their padding."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FashionMNIST

from roadmap.config.schema import DataConfig
from roadmap.data.in_memory import Images, load
from roadmap.errors import ConfigError, DataError


def config(root: Path, **changes: object) -> DataConfig:
    values = {"name": "fashion_mnist", "in_chans": 1, "num_classes": 10, "mean": [0.2860], "std": [0.3530]}
    return DataConfig(**{**values, "root": str(root), "img_size": 32, **changes})


@pytest.fixture(scope="module")
def training(data_root: Path) -> Images:
    return load(config(data_root, img_size=28), train=True)


@pytest.fixture(scope="module")
def test(data_root: Path) -> Images:
    return load(config(data_root, img_size=28), train=False)


def test_fashion_mnist_is_complete_and_equals_torchvisions(training: Images, test: Images, data_root: Path) -> None:
    for images, train, n in ((training, True, 60_000), (test, False, 10_000)):
        assert images.labels.bincount().tolist() == [n // 10] * 10 and len(images) == n
        peer = FashionMNIST(str(data_root), train=train)
        assert torch.equal(images.images[:, 0], peer.data) and torch.equal(images.labels, peer.targets)
    std, mean = torch.std_mean(training.images.float() / 255)
    assert [round(mean.item(), 4), round(std.item(), 4)] == [0.2860, 0.3530]  # as configured


def test_padding_is_black_and_even(data_root: Path, test: Images) -> None:
    for size, before in ((32, 2), (33, 2), (64, 18)):
        padded = load(config(data_root, img_size=size, max_test=100), train=False).images
        assert padded.shape == (100, 1, size, size) and padded.is_contiguous()
        inside = slice(before, before + 28)
        assert torch.equal(padded[:, :, inside, inside], test.images[:100])
        assert padded.sum() == test.images[:100].sum()


def test_images_are_scaled_as_by_pillow_before_they_are_padded(data_root: Path, test: Images) -> None:
    scaled = load(config(data_root, img_size=64, resize=56, max_test=50), train=False).images
    images = [
        Image.fromarray(image[0].numpy()).resize((56, 56), Image.Resampling.BICUBIC) for image in test.images[:50]
    ]
    inside = scaled[:, 0, 4:60, 4:60].int() - torch.stack([torch.as_tensor(np.array(image)) for image in images])
    assert scaled.shape == (50, 1, 64, 64) and inside.abs().max() <= 1 and (inside != 0).float().mean() < 0.001
    assert not scaled[:, :, :4].any() and not scaled[:, :, :, 60:].any()


def test_limits_take_the_first(data_root: Path, training: Images, test: Images) -> None:
    data = config(data_root, img_size=28, max_train=50, max_test=30)
    for train, whole, n in ((True, training, 50), (False, test, 30)):
        images = load(data, train=train)
        assert torch.equal(images.images, whole.images[:n]) and torch.equal(images.labels, whole.labels[:n])
    assert len(load(config(data_root, max_test=20_000), train=False)) == 10_000


def test_images_that_are_too_large_are_refused(data_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.img_size=20: allowed is 28 or more$"):
        load(config(data_root, img_size=20), train=False)


def test_missing_or_damaged_files(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte, .*missing or damaged: run `make data`$"):
        load(config(tmp_path), train=False)
    shutil.copytree(data_root / "FashionMNIST", tmp_path / "FashionMNIST")
    labels = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    with labels.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\xff")
    with pytest.raises(DataError) as caught:
        load(config(tmp_path), train=False)
    assert str(caught.value) == f"{labels} missing or damaged: run `make data`"
    assert len(load(config(tmp_path, max_train=7), train=True)) == 7
    with pytest.raises(DataError, match=f"^cifar10 is missing or damaged in {tmp_path}: run `make data`$"):
        load(config(tmp_path, name="cifar10"), train=True)

"""Image files that are decoded once and then treated as images in memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.batches import SINGLE, same, some
from PIL import Image

from roadmap.config.compose import compose
from roadmap.config.schema import Config, OnError
from roadmap.config.steps import deviations
from roadmap.data.in_memory import Images, fitted
from roadmap.data.loader import evaluation_batches, load, micro_batches
from roadmap.errors import ConfigError, DataError

PIXELS = some(24)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The pixels as PNG files, two folders for their classes in each part."""
    for part in ("train", "val"):
        for number, image in enumerate(PIXELS.images):
            path = tmp_path / part / "ab"[number % 2] / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return tmp_path


def config(root: Path, *words: str) -> Config:
    batch = ("budget.batch_size=8", "budget.bn_batch_size=8", "data.mean=[0.5,0.5,0.5]", "data.std=[0.2,0.2,0.2]")
    return compose(["study=photos", f"data.root={root}", "data.in_memory=true", "regime.img_size=64", *batch, *words])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batches_are_those_of_the_same_pixels_in_memory(root: Path, workers: int) -> None:
    of = config(root, "data.resize=48", f"training.workers={workers}")
    images = load(of, train=True)
    order = [*range(0, 24, 2), *range(1, 24, 2)]  # by class
    peer = Images(fitted(PIXELS.images[order], of.data), torch.tensor([0] * 12 + [1] * 12))
    assert images.shape == (24, 3, 64, 64) and torch.equal(images.labels, peer.labels) and images.classes == ["a", "b"]
    recipe = replace(SINGLE, batch_size=8, bn_batch_size=8, aa="rand-m9-mstd0.5-inc1")
    ours, theirs = (list(micro_batches(each, recipe, of.data, seed=1, epoch=2)) for each in (images, peer))
    assert len(ours) == 3 and same(ours, theirs)
    assert same(*(list(evaluation_batches(each, of.data, 10)) for each in (load(of, train=False), peer)))
    assert deviations(of)["augmentation"][0] == "by batches"


def test_images_of_two_sizes_and_those_that_cannot_be_read_are_refused_by_name(root: Path) -> None:
    path = root / "train" / "b" / "07.png"
    Image.new("RGB", (30, 32)).save(path)
    with pytest.raises(DataError, match=r"b/07.png: 30x32 pixels, others 32x32: data.in_memory=false takes any sizes"):
        load(config(root), train=True)
    path.write_text("no image")
    with pytest.raises(DataError, match=r"b/07.png: cannot be read"):
        load(config(root), train=True)


def test_options_that_contradict_it_are_refused(root: Path) -> None:
    for word, message in (
        ("data.in_memory=false", "data.resize=48: allowed is unset for image files without data.in_memory=true"),
        (f"data.on_error={OnError.skip.name}", "data.on_error=skip: allowed is stop with data.in_memory=true"),
    ):
        with pytest.raises(ConfigError) as refusal:
            config(root, "data.resize=48", word)
        assert str(refusal.value) == message

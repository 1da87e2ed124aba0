"""Image files: the same batches for any number of workers; unreadable images stop the run or are skipped."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.photographs import break_file, on_folders, plant
from helpers.smoke import inside
from torch import Tensor

from roadmap.config.checks import check
from roadmap.config.schema import Config
from roadmap.data.loader import evaluation_batches, load, micro_batches
from roadmap.errors import ConfigError, DataError


def epoch(of: Config, *, start: int = 0, number: int = 0) -> list[tuple[Tensor, Tensor]]:
    images = load(of, train=True)
    return list(micro_batches(images, of.recipe, of.data, seed=3, epoch=number, start=start))


def test_workers_and_the_first_step_change_no_batch(photographs: Path) -> None:
    small = ("regime.img_size=64", "budget.batch_size=8")
    states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()  # type: ignore[index]
    whole = epoch(on_folders(photographs, *small))
    assert states == (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist())  # type: ignore[index]
    assert [x.shape for x, _ in whole] == [(8, 3, 64, 64)] * 4
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in whole)
    for workers, start in ((0, 2), (1, 0), (2, 1)):
        again = epoch(on_folders(photographs, *small, f"training.workers={workers}"), start=start)
        for (x, t), (y, u) in zip(again, whole[start:], strict=True):
            assert torch.equal(x, y) and torch.equal(t, u)
    assert not torch.equal(whole[0][0], epoch(on_folders(photographs, *small), number=1)[0][0])


def test_unreadable_images_are_skipped_and_counted_unless_there_are_no_others(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=3, val=1)
    small = ("regime.img_size=32", "budget.batch_size=12", "budget.bn_batch_size=12", "recipe.mixup_prob=0")
    sound = epoch(on_folders(root, *small))
    for name in ("0", "1"):
        break_file(root / "train" / "chelsea" / f"{name}.JPEG")
    of = on_folders(root, *small, "data.on_error=skip", "training.workers=1")
    images = load(of, train=True)
    ((x, labels),) = micro_batches(images, of.recipe, of.data, seed=3, epoch=0)
    assert sorted(line.split(":")[0][-14:] for line in images.skipped) == ["chelsea/0.JPEG"] + ["chelsea/1.JPEG"] * 2
    assert x.shape == sound[0][0].shape and torch.equal(labels, sound[0][1])  # chelsea's last stands for all three
    assert sum(not torch.equal(a, b) for a, b in zip(x, sound[0][0], strict=True)) == 2
    for path in (root / "train").rglob("*.JPEG"):
        path.write_text("no image")
    with pytest.raises(DataError, match=r"cannot be read: .*, and neither can those after it"):
        epoch(of)
    (root / "val" / "coffee" / "0.JPEG").write_bytes(b"")
    why = r"val/coffee/0.JPEG: cannot be read: it is empty: data.on_error=skip is for training images alone, repair"
    with pytest.raises(DataError, match=why):
        list(evaluation_batches(load(of, train=False), of.data, 4))
    of = on_folders(root, *small)
    with pytest.raises(DataError, match=r"it is empty$"):
        list(evaluation_batches(load(of, train=False), of.data, 4))


def test_workers_are_at_most_the_cores_of_the_process(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = on_folders(photographs, "training.workers=8")
    for cores in (1, 2, 16):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: {*range(cores)})
        assert load(of, train=False).workers == min(8, cores)  # type: ignore[union-attr]


def test_a_limit_takes_images_of_every_class(photographs: Path) -> None:
    images = load(on_folders(photographs, "data.max_train=8", "data.max_test=4", "recipe.batch_size=8"), train=True)
    assert (len(images), images.labels.tolist()) == (8, [0, 0, 1, 1, 2, 2, 3, 3])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.aa=random"], "recipe.aa=random: allowed is none, or timm's notation: rand-m9-mstd0.5-inc1"),
        (["recipe.interpolation=nearest"], "recipe.interpolation=nearest: allowed is bilinear or bicubic"),
        (["data.crop_pct=1.5"], "data.crop_pct=1.5: allowed is more than 0, up to 1"),
        (["data.in_chans=1", "data.mean=[0.5]", "data.std=[0.2]"], "data.in_chans=1: allowed is 3 for imagefolder"),
        (["data.train=train.tar"], "data.train=train.tar: allowed is unset, except for data=webdataset"),
        (["training.workers=-1"], "training.workers=-1: allowed is 0 to 256"),
    ],
)
def test_options_that_image_files_refuse(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(on_folders(Path("nowhere"), *words))
    assert str(caught.value).startswith(message)


@pytest.mark.slow
def test_the_benchmark_compares_with_torchvision(photographs: Path) -> None:
    words = ["study=photos", "+step=training_recipe", f"data.root={photographs}", "data.num_classes=4"]
    code, said = inside("benchmarks/data.py", *words, "regime.img_size=64", "images=5", "rounds=2")
    assert code == 0 and "\nratio " in said, said

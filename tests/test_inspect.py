"""Inspection finds every fault that was planted."""

import os
import shutil
from pathlib import Path

import pytest
from helpers.photographs import CLASSES, WNIDS, break_file, plant
from helpers.smoke import inside
from PIL import ExifTags, Image

from roadmap.config.compose import compose
from roadmap.data.inspect import inspect


def test_an_intact_tree_has_no_errors_and_planted_faults_are_found(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=2, val=1)
    words = ["scripts/check_data.py", f"data.root={root}", "data=imagefolder", "data.num_classes=4"]
    code, output = inside(*words, "training.workers=2")
    assert code == 0, output
    assert "train: 8 images in 4 classes" in output and "val: 4 images in 4 classes" in output
    assert "60,000 pixels per image" in output and "error: " not in output and "note: " not in output
    train = root / "train"
    break_file(train / "coffee" / "0.JPEG")
    (train / "chelsea" / "0.JPEG").write_bytes(b"")
    photo = Image.open(train / "rocket" / "0.JPEG")
    photo.save(train / "rocket" / "0.JPEG", format="PNG")
    photo.convert("CMYK").save(train / "rocket" / "1.JPEG")
    photo.save(train / "chelsea" / "9.JPEG", format="EPS")  # Pillow would start Ghostscript
    (root / "val" / "tea").mkdir()
    (train / "coffee" / "readme.txt").write_text("no image")
    (train / "astronaut" / "2.JPEG").symlink_to(tmp_path / "nowhere.JPEG")
    (root / "val" / "coffee").rename(tmp_path / "coffee")
    (root / "val" / "coffee").symlink_to(tmp_path / "coffee")
    code, output = inside(*words, "training.workers=0")
    assert code == 1
    for line in (
        "train: 6 images in 4 classes",
        f"note: {train}/rocket/0.JPEG: PNG by another name",
        f"note: {train}/rocket/1.JPEG: CMYK colours",
        f"error: {train}/coffee/0.JPEG: cannot be read: image file is truncated",
        f"error: {train}/chelsea/0.JPEG: cannot be read: it is empty",
        f"error: {train}/chelsea/9.JPEG: cannot be read: cannot identify image file",
        f"note: {train}/coffee/readme.txt: not used",
        f"error: {train}/astronaut/2.JPEG: cannot be read: [Errno 2]",
        f"error: {root}/val/tea: no images",
        "val: 4 images in 5 classes",
        f"error: {root}: train and val have other classes: tea",
    ):
        assert line in output, (line, output)


def test_likely_mistakes_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plant(tmp_path / "photos", train=2, val=1)
    for folder in ("val", *(f"train/{name}" for name in CLASSES[1:])):
        shutil.rmtree(root / folder)
    shutil.copytree(root / "train", root / "val")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.open(root / "train" / CLASSES[0] / "0.JPEG").save(root / "train" / CLASSES[0] / "0.JPEG", exif=turned)
    (root / "train" / ".thumbnails").mkdir()
    (root / "train" / ".thumbnails" / "1.JPEG").write_text("no image")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # torch would warn, and warnings are errors
    *_, (done, total, report) = inspect(compose(["study=photos", f"data.root={root}"]).data, workers=2)
    assert done == total == 4 and report.errors == [] and report.classes["train"] == [CLASSES[0]]
    assert report.notes == [
        f"{root}/train: skipped, hidden or a file manager's: .thumbnails",
        f"{root}: only one class: there is nothing to tell apart",
        f"{root}: val: 1 of 2 images are byte for byte duplicates of images in train",
        f"{root}: images with an EXIF orientation, which is ignored (docs/data.md): 1",
    ]


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(1024)])
def test_one_cause_is_one_error(tmp_path: Path, content: bytes) -> None:
    for part in ("train", "val"):
        (tmp_path / f"{part}.tar").write_bytes(content)
    words = ["study=photos", "data=webdataset", f"data.root={tmp_path}", f"data.cache={tmp_path}"]
    *_, (_, _, report) = inspect(compose([*words, "data.num_classes=4"]).data, workers=0)
    assert len(report.errors) == 2 and "train" in report.errors[0] and "val" in report.errors[1], report.errors


def test_other_images_than_imagenets_are_errors(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=1, val=1, names=WNIDS)
    code, output = inside("scripts/check_data.py", f"data.root={root}", "study=imagenet", "training.workers=0")
    assert code == 1
    assert f"error: {root}: train: 4 classes, data.num_classes is 1000" in output
    assert f"error: {root}: val: 4 images, ImageNet-1K has 50,000" in output
    assert inside("scripts/check_data.py", f"data.root={tmp_path / 'nowhere'}", "study=imagenet")[0] == 2
    code, output = inside("scripts/check_data.py", f"data.root={root}", "study=smoke")
    assert code == 2 and "data=fashion_mnist: allowed is one of imagenet imagefolder webdataset parquet" in output

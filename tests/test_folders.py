"""Images in a folder per class: listed as by torchvision, counted, refused if classes are missing."""

import shutil
from pathlib import Path

import pytest
from helpers.photographs import on_folders, photograph, plant
from helpers.smoke import inside
from torchvision.datasets import ImageFolder

from roadmap.config.compose import compose
from roadmap.data import records
from roadmap.data.folders import count_images
from roadmap.data.loader import load
from roadmap.errors import ConfigError, DataError


def test_folders_without_classes_or_with_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train: a folder of images for every class is needed"):
        load(on_folders(tmp_path), train=True)
    root = plant(tmp_path / "photos", train=1, val=1)
    with pytest.raises(ConfigError, match=r"data.num_classes=5: allowed is 4, the folders in .*/train"):
        load(on_folders(root, "data.num_classes=5"), train=True)
    (root / "val" / "coffee").rename(root / "val" / "tea")
    with pytest.raises(DataError, match=r"val: its folders are not those of .*/train"):
        load(on_folders(root), train=False)


def test_classes_and_images_are_counted(photographs: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photographs, tmp_path / "photos")
    for name in (".thumbnails", ".trash/coffee"):
        (root / "train" / name).mkdir(parents=True)
    photograph("coffee").save(root / "train" / ".thumbnails" / "1.jpg")
    words = ["study=photos", f"data.root={root}"]
    of = compose(words)
    assert of.data.num_classes == 4 and of.study.name == "photos"
    assert len(load(of, train=True)) == 32 and count_images(of.data) == (32, 16)
    assert compose([*words, "data.num_classes=7"]).data.num_classes == 7
    assert inside("scripts/plan.py", *words, "steps=[resnet]", "images_per_second=16")[0] == 0
    flat = "classes lie in .* itself, docs/data.md says how"
    for root, message in ((photographs / "train", flat), (tmp_path / "no", "$")):
        with pytest.raises(ConfigError, match=rf"^data.num_classes: a value is needed, or {root}/train \(.*{message}"):
            compose(["study=photos", f"data.root={root}"])
    assert count_images(compose(["study=photos", f"data.root={tmp_path}", "data.num_classes=4"]).data) is None


def test_files_are_listed_as_torchvision_lists_them(photographs: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photographs, tmp_path / "photos")
    deeper = root / "train" / "coffee" / "a" / "b"
    deeper.mkdir(parents=True)
    for name in ("x.PNG", "y.txt", "z.webp"):
        (deeper / name).touch()
    (root / "train" / "coffee" / "linked").symlink_to(photographs / "val" / "rocket")
    found = records.find(on_folders(root).data, "train")
    known = ImageFolder(str(root / "train"))
    assert [*zip(found.paths, found.labels.tolist(), strict=True)] == known.samples  # type: ignore[attr-defined]
    assert found.classes == known.classes and len(known.samples) == 32 + 4 + 2

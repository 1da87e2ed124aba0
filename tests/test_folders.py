"""Images in a folder per class: listed as by torchvision, counted, refused if classes are missing."""

import os
import shutil
from pathlib import Path

import pytest
import timm
import torch
from helpers.photographs import CLASSES, on_folders, photograph, plant
from helpers.smoke import inside
from torchvision.datasets import ImageFolder

from roadmap.config.compose import compose
from roadmap.data import records
from roadmap.data.folders import count_images
from roadmap.data.imagenet import require_wnids, wnids
from roadmap.data.loader import load
from roadmap.errors import ConfigError, DataError


def test_folders_without_classes_or_with_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train: a folder of images for every class is needed"):
        load(on_folders(tmp_path), train=True)
    root = plant(tmp_path / "photos", train=1, val=1)
    with pytest.raises(ConfigError, match=r"data.num_classes=5: allowed is 4, the classes of .*/train"):
        load(on_folders(root, "data.num_classes=5"), train=True)
    (root / "val" / "coffee").rename(root / "val" / "tea")
    with pytest.raises(DataError, match=r"val: other classes than the training images in .*: coffee tea$"):
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
    flat = "classes lie in .* itself: python scripts/split.py data.root=.* to=FOLDER splits them into"
    where = "data.root=FOLDER, with make ROOT=FOLDER"
    for place, message in ((photographs / "train", flat), (root / "val" / "coffee", f"every class: {where}$")):
        with pytest.raises(ConfigError, match=rf"^data.num_classes: a value is needed, or {place}/train \(.*{message}"):
            compose(["study=photos", f"data.root={place}"])
    gone = f"data.root={tmp_path / 'no'}"
    with pytest.raises(ConfigError, match=f"^{gone}: allowed is a folder that exists, with train .*: {where}$"):
        compose(["data=imagefolder", gone])
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


def test_what_is_not_meant_is_skipped_counted_and_noted_once(photographs: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photographs, tmp_path / "photos")
    train, image = root / "train", (photographs / "val" / "rocket" / "0.JPEG")
    for name in ("coffee/.ipynb_checkpoints", "coffee/@eaDir", "__MACOSX/coffee", ".Trash-0/coffee", "lost+found"):
        (train / name).mkdir(parents=True)
        shutil.copy(image, train / name / "1.JPEG")
    (train / "coffee" / "._1.JPEG").write_bytes(b"Mac OS X")
    (train / "coffee" / "again").symlink_to(train / "rocket")  # another class, which keeps its images
    (train / "coffee" / "up").symlink_to(root)
    (tmp_path / "more").mkdir()
    shutil.copy(image, tmp_path / "more" / "m.JPEG")
    for name in ("coffee/x", "coffee/y"):
        (train / name).symlink_to(tmp_path / "more")
    os.mkfifo(train / "coffee" / "pipe.jpg")
    (train / "coffee" / "zero.png").symlink_to("/dev/zero")
    (train / "coffee" / "itself.jpg").symlink_to("itself.jpg")
    found = records.find(on_folders(root).data, "train")
    assert found.classes == [*CLASSES] and found.labels.bincount().tolist() == [8, 8, 10, 8]
    names = [path[len(str(train)) :] for path in found.paths]  # type: ignore[attr-defined]
    assert [name for name in names if not name[-6].isdecimal()] == ["/coffee/itself.jpg", "/coffee/x/m.JPEG"]
    assert [*found.notes] == [
        f"{train}: skipped, hidden or a file manager's: .Trash-0 __MACOSX coffee/._1.JPEG coffee/.ipynb_checkpoints "
        "coffee/@eaDir (6 in all)",
        f"{train}: skipped, neither files nor folders: coffee/pipe.jpg coffee/zero.png",
        f"{train}: skipped, reached twice through links: coffee/again coffee/up coffee/y",
    ]
    words = [f"data.root={root}", "data=imagefolder", "data.num_classes=4", "training.workers=0"]
    code, said = inside("scripts/check_data.py", *words)
    assert all(said.count(f"note: {note}\n") == 1 for note in found.notes)
    (failure,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1 and failure.startswith(f"error: {train}/coffee/itself.jpg: cannot be read: [Errno 40]")


@pytest.mark.parametrize(("names", "noted"), [(("0", "2", "10", "100"), True), (("00", "02", "10", "99"), False)])
def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path: Path, names: tuple[str, ...], noted: bool) -> None:
    root = plant(tmp_path, train=1, val=1, names=names)
    found = records.find(on_folders(root).data, "train")
    paths: list[str] = found.paths  # type: ignore[attr-defined]
    labels = {Path(path).parent.name: label for path, label in zip(paths, found.labels.tolist(), strict=True)}
    assert labels == {name: label for label, name in enumerate(names)} and found.classes == [*names]
    code, said = inside("scripts/check_data.py", f"data.root={root}", "data=imagefolder", "data.num_classes=4")
    assert code == 0 and bool(found.notes) == noted
    assert (f"note: {root}/train: classes are sorted as numbers, as by timm" in said) == noted


def test_folders_that_are_not_imagenets_classes_are_refused_everywhere(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=1, val=1, names=("0", "1", "2", "3"))
    network = timm.models.ConvNeXt(num_classes=4, depths=(1, 1, 1, 1), dims=(8, 16, 32, 64))
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    words = ["study=imagenet", f"data.root={root}", "data.num_classes=4"]
    for script, more in (
        ("train.py", f"runs_dir={tmp_path / 'runs'}"),
        ("scripts/check_data.py", "training.workers=0"),
        ("scripts/evaluate.py", f"weights={tmp_path / 'weights.pth'}"),
    ):
        code, said = inside(script, *words, more)
        assert code == 2, said
        assert "not names of ImageNet's classes (wnid, n and eight digits): 0 1 2 3\n" in said
        assert "row N of roadmap/reference/imagenet_classes.csv has the wnid of a class N of 0 to 999; other" in said
    assert not (tmp_path / "runs").exists()


def test_a_thousand_classes_are_those_of_imagenet_1k() -> None:
    require_wnids(Path("train"), wnids())
    with pytest.raises(DataError, match=r"^train: not among ImageNet-1K's 1000 classes: n00000001$"):
        require_wnids(Path("train"), ["n00000001", *wnids()[1:]])

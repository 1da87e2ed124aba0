"""ImageNet's classes: evaluated with the validation images alone, in every layout, and with some of the classes."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import timm
import torch
from helpers.containers import write_devkit, write_solution
from helpers.photographs import plant, small
from helpers.smoke import evaluate
from torchvision.datasets import ImageFolder

from roadmap import runs
from roadmap.data.imagenet import validation_classes, wnids, wnids_of
from roadmap.errors import ConfigError, DataError
from roadmap.training.run import execute

SOME = [wnids()[number] for number in (7, 300, 301, 999)]
COUNT = 3
LABELS = [0, 1, 2, 3] * COUNT


class Known(NamedTuple):
    """Images of four of ImageNet's classes, and the weights of a network of 1000 classes."""

    val: Path  # a folder per class
    weights: Path
    right: tuple[int, int]  # first guesses that are right, among all classes and among the four


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    root = tmp_path_factory.mktemp("known")
    val = plant(root, train=1, val=COUNT, names=SOME) / "val"
    images, labels = zip(*ImageFolder(str(val), timm.data.create_transform(32, interpolation="bicubic")), strict=True)
    torch.manual_seed(0)
    network = timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 16, 32, 64)).eval()
    numbers = torch.tensor([wnids().index(wnid) for wnid in SOME])
    with torch.no_grad():
        network.head.fc.weight.mul_(50)
        network.head.fc.bias.sub_(100).index_fill_(0, numbers, 0.0)
        logits = network(torch.stack(images))
        ahead = logits[:, numbers].amax(1) - logits[:, 500]
        network.head.fc.bias[500] += ahead.median()  # another class that about half of the images are taken for
        logits = network(torch.stack(images))
    truth = torch.tensor(labels)
    right = (logits.argmax(1) == numbers[truth]).sum(), (logits[:, numbers].argmax(1) == truth).sum()
    torch.save(network.state_dict(), root / "weights.pth")
    assert 0 < right[0] < right[1] < len(images)
    return Known(val, root / "weights.pth", (int(right[0]), int(right[1])))


def flat(known: Known, folder: Path) -> Path:
    """The images side by side, their classes alternating."""
    folder.mkdir(parents=True)
    for number, label in enumerate(LABELS):
        name = f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        shutil.copy(known.val / SOME[label] / f"{number // len(SOME)}.JPEG", folder / name)
    return folder


@pytest.mark.parametrize("layout", ["folders", "devkit", "kaggle"])
def test_the_validation_images_alone_are_evaluated_in_every_layout(known: Known, tmp_path: Path, layout: str) -> None:
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    if layout == "folders":
        shutil.copytree(known.val, root / "val")
    if layout == "devkit":
        write_devkit(flat(known, root), LABELS, SOME)
    if layout == "kaggle":
        flat(known, root / "val")
        write_solution(tmp_path / "LOC_val_solution.csv", [SOME[label] for label in LABELS])
    before = sorted(tmp_path.rglob("*"))
    said = evaluate(f"weights={known.weights}", "study=imagenet", f"data.root={root}", "data.img_size=32")
    for words, right in zip(("all 1000 classes", "the 4 classes of the images"), known.right, strict=True):
        assert f"top-1 among {words}: {right} of 12 images, {100 * right / 12:.3f} %" in said
    assert "top-5 among the 4" not in said, "it would be true of any network"
    assert sorted(tmp_path.rglob("*")) == before, "only read"


def test_what_no_class_of_the_weights_is_or_no_table_is_refused(known: Known, tmp_path: Path) -> None:
    words = [f"weights={known.weights}", "study=imagenet", f"data.root={tmp_path}", "data.img_size=32"]
    shutil.copytree(known.val / SOME[0], tmp_path / "val" / "n00000001")
    assert "not among the 1000 classes of the weights (" in (said := evaluate(*words, code=2)) and "n00000001" in said
    shutil.rmtree(tmp_path / "val")
    assert "val: a folder of images for every class is needed" in evaluate(*words, code=2)
    flat(known, tmp_path / "val")
    assert "is needed, or LOC_val_solution.csv" in evaluate(*words, code=2)
    table = tmp_path / "LOC_val_solution.csv"
    for line, message in (
        ("ILSVRC2012_val_00000001,./../../evil 1 2 3 4", "wnid=./../../evil: allowed is n and eight digits"),
        ("../evil,n01440764 1 2 3 4", "ImageId=../evil: allowed is ILSVRC2012_val_ and eight digits"),
        ("ILSVRC2012_val_00000001,", "cannot be read: columns ImageId and PredictionString are needed"),
        ("ILSVRC2012_val_00000099,n01440764 1 2 3 4", "ILSVRC2012_val_00000099.JPEG is not there (1 of 1 are not)"),
    ):
        table.write_text(f"ImageId,PredictionString\n{line}\n")
        assert message in evaluate(*words, code=2)
    table.write_bytes(b"\xff\x00")
    with pytest.raises((DataError, ConfigError), match=r"LOC_val_solution.csv: cannot be read: "):
        validation_classes(tmp_path)


def test_synonyms_stand_for_wnids_if_they_are_in_their_order() -> None:
    info = timm.data.ImageNetInfo()
    names = [info.index_to_description(number) for number in range(1000)]
    names[517], names[639] = "crane2", "maillot2"  # as in some tables, whose names are all different
    assert wnids_of(names) == wnids() and wnids_of(wnids()) == wnids() and wnids_of(["cat"]) == ["cat"]
    assert wnids_of(sorted(names)) == sorted(names), "another order is none of wnids"


def test_the_classes_of_a_run_are_those_of_its_images_by_name(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=4, val=2)
    run = runs.prepare(small([f"data.root={root}", "data.num_classes=4", "regime.width=4"], f"runs_dir={tmp_path}"))
    execute(run)
    counts = runs.read_result(run / runs.RESULT)["counts"]
    words = [f"weights={run / runs.CHECKPOINT}", f"data.root={root}"]
    shutil.rmtree(root / "train")
    assert f"top-1: {counts['top1']} of 8 images" in evaluate(*words)
    (run / runs.RESULT).rename(tmp_path / "result.json")  # the checkpoint knows the names as well
    (root / "val" / "astronaut").rename(tmp_path / "astronaut")
    said = evaluate(*words)
    assert "top-1 among all 4 classes: " in said and "top-1 among the 3 classes of the images: " in said
    (root / "val" / "coffee").rename(root / "val" / "tea")
    assert "not among the 4 classes of the weights (astronaut chelsea coffee rocket): tea" in evaluate(*words, code=2)

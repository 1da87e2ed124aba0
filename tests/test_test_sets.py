"""ImageNet's test sets: folders, classes and mean corruption error, compared with timm and torchvision."""

import csv
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torchvision
from helpers.photographs import photograph
from helpers.smoke import evaluate, inside
from timm.data import create_transform
from torch import Tensor, nn

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.data.datasets import TEST_SETS
from roadmap.data.loader import load
from roadmap.data.test_sets import EXTRA, alexnet_errors, folders
from roadmap.errors import ConfigError, DataError
from roadmap.evals.weights import overridden
from roadmap.networks.ladder import build


def wnids(name: str) -> list[str]:
    """A list of classes that timm carries."""
    return (Path(timm.__file__).parent / "data" / "_info" / f"{name}_synsets.txt").read_text().split()


WNIDS = wnids("imagenet")
SIDE = 32
# AlexNet's errors at severities 1 to 5, as the authors' spreadsheet has them.
SEVERITY_BY_SEVERITY = pd.read_csv(Path(__file__).parent / "data" / "alexnet_severities.csv", index_col="corruption")


def cut_outs(root: Path, *, shift: int) -> Path:
    """A cut-out of a photograph for each of ImageNet's classes; others at a shift are like them, not the same."""
    whole = photograph("chelsea")
    wide, high = (side - 48 for side in whole.size)
    places = iter(np.random.default_rng(0).permutation(wide * high).tolist())
    for wnid in WNIDS:
        deviation = 0.0
        while deviation < 20:  # what is of one colour looks like any other
            left, top = (n := next(places)) % wide, n // wide
            deviation = np.asarray(whole.crop((left, top, left + 40, top + 40))).std()
        (root / wnid).mkdir(parents=True)
        moved = whole.crop((left + shift, top + shift, left + shift + 40, top + shift + 40))
        moved.save(root / wnid / "0.JPEG", quality=95)
    return root


def seen(root: Path, **options: float) -> tuple[list[str], Tensor]:
    """Folders and images (N, 3, H, W), by torchvision and timm."""
    found = torchvision.datasets.ImageFolder(str(root), create_transform(SIDE, interpolation="bicubic", **options))
    return [found.classes[label] for _, label in found.samples], torch.stack([image for image, _ in found])


class World(NamedTuple):
    """Test sets in all layouts, and a network of timm's that names about a third of their images right."""

    root: Path
    network: nn.Module


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    _, images = seen(cut_outs(root / "known", shift=0))
    torch.manual_seed(0)
    network = timm.models.ConvNeXt(depths=[1, 1, 1, 1], dims=[16, 32, 64, 128]).eval()
    with torch.no_grad():  # the class is that of the known image whose features are nearest
        features = network.forward_head(network.forward_features(images), pre_logits=True)
        network.head.fc.weight.copy_(2 * (features - features.mean(0)))
        network.head.fc.bias.copy_(128 - features.square().sum(1))
    torch.save(network.state_dict(), root / "weights.pth")
    sketch = cut_outs(root / "imagenet_sketch", shift=3)
    layouts = {name: {wnid: wnid for wnid in wnids(name)} for name in ("imagenet_a", "imagenet_r")}
    layouts["imagenet_v2"] = {str(i): wnid for i, wnid in enumerate(WNIDS)}
    for name, names in layouts.items():
        (root / name).mkdir()
        (root / name / "README.txt").write_text("comes with it")
        for folder, wnid in names.items():
            (root / name / folder).symlink_to(sketch / wnid)
    return World(root, network)


def evaluated(world: World, name: str, *more: str, code: int = 0) -> str:
    """What the script says of a test set."""
    words = [f"weights={world.root / 'weights.pth'}", f"data={name}", f"data.root={world.root / name}"]
    return evaluate(*words, f"data.img_size={SIDE}", *more, code=code)


def counts(world: World, name: str, top: int) -> tuple[int, int, int]:
    """Images, those that timm's network names right among the classes there, and those right among all 1000."""
    names, images = seen(world.root / name)
    classes = [int(n) if n.isdecimal() else WNIDS.index(n) for n in names]
    with torch.no_grad():
        logits = world.network(images)
    chosen = sorted(set(classes))
    among = torch.tensor(chosen)[logits[:, chosen].topk(top).indices]
    target = torch.tensor(classes)[:, None]
    return len(names), int((among == target).sum()), int((logits.topk(top).indices == target).sum())


def test_the_classes_are_those_of_timm() -> None:
    assert folders("imagenet_sketch") == folders("imagenet_c") == {w: i for i, w in enumerate(WNIDS)}
    assert folders("imagenet_v2") == {str(i): i for i in range(1000)}
    for name in ("imagenet_a", "imagenet_r"):
        assert folders(name) == {wnid: WNIDS.index(wnid) for wnid in wnids(name)}
        assert len(folders(name)) == 200


@pytest.mark.parametrize("name", ["imagenet_v2", "imagenet_a", "imagenet_r", "imagenet_sketch"])
def test_counts_equal_those_of_timms_network(world: World, tmp_path: Path, name: str) -> None:
    output = evaluated(world, name, f"per_class={tmp_path / 'classes.csv'}")
    for top in (1, 5):
        images, expected, among_all = counts(world, name, top)
        assert f"top-{top}: {expected:,} of {images:,} images" in output, output
        assert 0.2 * images < expected < images
        assert (expected > among_all) == (images == 200)
    assert (f"{name}: chosen among its 200 classes" in output) == (images == 200)
    rows = list(csv.DictReader((tmp_path / "classes.csv").read_text().splitlines()))
    assert [int(row["class"]) for row in rows] == sorted(folders(name).values())
    assert {row["images"] for row in rows} == {"1"} and sum(int(row["top5"]) for row in rows) == expected


def test_missing_and_additional_folders_are_named(world: World, tmp_path: Path) -> None:
    root = tmp_path / "a"
    shutil.copytree(world.root / "imagenet_a", root, symlinks=True)
    config = compose(["study=imagenet", "data=imagenet_a", f"data.root={root}"])
    assert len(load(config, train=False)) == 200
    (root / "n01440764").mkdir()
    with pytest.raises(DataError, match=r"a: not expected: n01440764: imagenet_a has a folder for each of 200 classes"):
        load(config, train=False)
    (root / "n01440764").rename(tmp_path / "n01440764")
    (root / "n01498041").unlink()
    with pytest.raises(DataError, match=r"a: missing: n01498041: imagenet_a has"):
        load(config, train=False)
    (tmp_path / "n01440764").rename(root / "n01498041")
    with pytest.raises(DataError, match=r"a/n01498041: no images"):
        load(config, train=False)
    v2 = compose(["study=imagenet", "data=imagenet_v2", f"data.root={world.root / 'imagenet_sketch'}"])
    with pytest.raises(DataError, match=r"missing: 0 1 10 100 101 \(1000 in all\): imagenet_v2 has a folder"):
        load(v2, train=False)


def test_training_on_them_is_refused(tmp_path: Path) -> None:
    for name in TEST_SETS:
        words = ["study=imagenet", f"data={name}", f"data.root={tmp_path}", f"runs_dir={tmp_path}"]
        with pytest.raises(ConfigError, match=f"data={name}: allowed is a data set to train with: this one only tests"):
            load(compose(words), train=True)
    code, output = inside("train.py", *words)
    assert code == 2 and not list(tmp_path.iterdir())
    assert output.startswith(f"train: data={name}: it only tests: scripts/evaluate.py weights=FILE"), output


def test_the_errors_of_alexnet_are_the_means_over_the_severities() -> None:
    assert not set(EXTRA) & alexnet_errors().keys()
    means = dict(SEVERITY_BY_SEVERITY.mean(axis=1))
    assert alexnet_errors() == pytest.approx(means, abs=1e-9)


def test_imagenet_c_is_evaluated_by_folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With twenty of its classes; severity by severity, more of them have the images of another."""
    few = {wnid: i for i, wnid in enumerate(WNIDS) if i % 50 == 0}
    monkeypatch.setattr("roadmap.data.test_sets.folders", lambda _: few)
    errors = []
    for severity in range(6):
        (tmp_path / str(severity)).mkdir()
        for k, (wnid, i) in enumerate(few.items()):
            source = world.root / ("imagenet_sketch" if k % 2 else "known") / WNIDS[i + (k % 6 < severity)]
            (tmp_path / str(severity) / wnid).symlink_to(source)
        names, images = seen(tmp_path / str(severity), crop_pct=1.0)
        right = world.network(images).argmax(1) == torch.tensor([few[name] for name in names])
        errors.append(1 - float(right.float().mean()))
    assert 0 < errors[0] < errors[5] <= 1
    root, ces = world.root / "imagenet_c", []
    for k, name in enumerate((*alexnet_errors(), "spatter")):
        (root / name).mkdir(parents=True)
        for severity in range(1, 6):
            (root / name / str(severity)).symlink_to(tmp_path / str(severity - k % 2))
    output = evaluated(world, "imagenet_c")
    assert "data.crop_pct=1\n" in output and "left out: spatter" in output
    for k, (name, of_alexnet) in enumerate(alexnet_errors().items()):
        error = float(np.mean(errors[1 - k % 2 : 6 - k % 2]))
        ces.append(error / of_alexnet)
        line = f"{name}: {round(100 * error)} of 100 wrong, {100 * error:.3f} %, CE {100 * ces[-1]:.3f} %"
        assert line in output, (line, output)
    assert f"mCE: {100 * np.mean(ces):.3f} %, the mean of 15" in output, output
    for name in set(alexnet_errors()) - {"fog", "frost"}:
        shutil.rmtree(root / name)
    (root / "fog" / "3").unlink()
    output = evaluated(world, "imagenet_c", code=1)
    assert "fog: " not in output and "frost: " in output and "mCE" not in output
    assert "no mean corruption error, because folders are missing: gaussian_noise/1" in output and " fog/3 " in output
    (root / "rain").mkdir()
    assert "not expected: rain: imagenet_c has gaussian_noise" in evaluated(world, "imagenet_c", code=2)
    (root / "rain").rmdir()
    assert "one set of images, not imagenet_c" in evaluated(world, "imagenet_c", "per_class=classes.csv", code=2)
    (root / "frost" / "1").unlink()
    assert "no corruption is complete, there is fog frost spatter" in evaluated(world, "imagenet_c", code=2)


def test_a_run_is_evaluated_with_its_own_options(world: World, tmp_path: Path) -> None:
    config = compose(["study=imagenet", "regime=nano", f"runs_dir={tmp_path}", "data.crop_pct=0.9", "data.max_test=3"])
    directory = runs.prepare(config)
    torch.manual_seed(0)
    network = build(config.model, num_classes=1000, in_chans=3).eval()
    torch.save({"config_hash": digest(to_dict(config)), "model": network.state_dict()}, directory / runs.CHECKPOINT)
    words = [f"weights={directory / runs.CHECKPOINT}", "data=imagenet_r", f"data.root={world.root / 'imagenet_r'}"]
    output = evaluate(*words)
    assert "of 200 images" in output and "data.crop_pct=0.9" in output, output
    moved = overridden(config, ["data=imagenet_c", "data.root=there"])
    assert (moved.data.name, moved.data.root, moved.data.crop_pct) == ("imagenet_c", "there", 1.0)
    assert moved.data.max_test is None
    for words, message in (
        (["data=imagenet_v2"], "data.root=: allowed is the folder of imagenet_v2"),
        (["data=cifar10", "data.root=there"], "data=cifar10: allowed is one of imagenet_v2 imagenet_a"),
        (["data=imagenet_v2", "data.root=there", "data.max_test=3"], "allowed is data.root and training"),
    ):
        with pytest.raises(ConfigError, match=message):
            overridden(config, words)
    with pytest.raises(ConfigError, match=r"data=imagenet_a: allowed is one of .* for a run on imagenet"):
        overridden(compose([]), ["data=imagenet_a", "data.root=there"])

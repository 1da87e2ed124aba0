"""Image files: what comes of a photograph, whoever decodes it, and what is refused."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.photographs import CLASSES, break_file, photograph, plant
from helpers.smoke import inside, script
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.datasets import ImageFolder

from roadmap.config.checks import check
from roadmap.config.compose import compose
from roadmap.config.schema import Config
from roadmap.data import records
from roadmap.data.folders import count_images
from roadmap.data.image_files import Decoded
from roadmap.data.image_transforms import eval_pipeline, seeded, train_pipeline
from roadmap.data.loader import evaluation_batches, load, micro_batches
from roadmap.errors import ConfigError, DataError
from roadmap.runs import FAILURE, RESULT, read_json, read_result

MODERN = compose(["study=imagenet", "+step=training_recipe"])

GOLDEN = {
    0: [[90, 116, 120], [66, 76, 81], [44, 122, 128]],  # turned, solarized
    3: [[129, 134, 127], [131, 121, 105], [111, 116, 115]],  # pale
    4: [[165, 195, 144], [81, 140, 94], [105, 47, 56]],  # cropped to the left half
    6: [[116, 148, 165], [98, 76, 93], [94, 83, 54]],  # hardly changed
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("photos"))


def config(root: Path, *words: str) -> Config:
    return compose(["study=photos", f"data.root={root}", "data.num_classes=4", "+step=training_recipe", *words])


def epoch(of: Config, *, start: int = 0, number: int = 0) -> list[tuple[Tensor, Tensor]]:
    images = load(of, train=True)
    return list(micro_batches(images, of.recipe, of.data, seed=3, epoch=number, start=start))


def test_workers_and_where_an_epoch_is_entered_change_nothing(tree: Path) -> None:
    small = ("regime.img_size=64", "budget.batch_size=8")
    whole = epoch(config(tree, *small))
    assert [x.shape for x, _ in whole] == [(8, 3, 64, 64)] * 4
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in whole)
    for workers, start in ((0, 2), (1, 0), (2, 1)):
        again = epoch(config(tree, *small, f"training.workers={workers}"), start=start)
        for (x, t), (y, u) in zip(again, whole[start:], strict=True):
            assert torch.equal(x, y) and torch.equal(t, u)
    assert not torch.equal(whole[0][0], epoch(config(tree, *small), number=1)[0][0])


def test_the_processs_own_generators_are_left_alone(tree: Path) -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    epoch(config(tree, "regime.img_size=32"))
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_evaluation_is_resize_256_bicubic_and_the_middle_224(tree: Path) -> None:
    of = config(tree)
    plain = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(of.data.mean, of.data.std),
        ]
    )
    paths = sorted((tree / "val").rglob("*.JPEG"))
    expected = torch.stack([plain(Image.open(path)) for path in paths])
    batches = list(evaluation_batches(load(of, train=False), of.data, 5))
    assert [len(x) for x, _ in batches] == [5, 5, 5, 1]
    torch.testing.assert_close(torch.cat([x for x, _ in batches]), expected)
    assert torch.cat([t for _, t in batches]).tolist() == [CLASSES.index(path.parent.name) for path in paths]


def test_from_384_on_evaluation_sees_the_whole_image() -> None:
    large = replace(MODERN.data, img_size=384)
    whole = transforms.Resize((384, 384), transforms.InterpolationMode.BICUBIC)
    image = photograph("chelsea")
    expected = transforms.functional.pil_to_tensor(whole(image))
    assert torch.equal(torch.as_tensor(eval_pipeline(MODERN.recipe, large)(image)), expected)


def test_twenty_thousand_draws_of_the_papers_randaugment() -> None:
    """Two ops a draw out of fifteen, each carried out half the time, magnitudes around 9 of 10."""
    pipeline = train_pipeline(MODERN.recipe, replace(MODERN.data, img_size=32))
    augment = next(stage for stage in pipeline.transforms if type(stage).__name__ == "RandAugment")  # type: ignore[attr-defined]
    used, bits, solarized = Counter[str](), Counter[int](), list[int]()
    for op in augment.ops:

        def watched(image: Image.Image, *args: int, _op=op, _do=op.aug_fn, **options: object) -> Image.Image:  # type: ignore[no-untyped-def]
            used[_op.name] += 1
            if _op.name == "PosterizeIncreasing":
                bits[args[0]] += 1
            if _op.name == "SolarizeAdd":
                solarized.append(args[0])
            return _do(image, *args, **options)

        op.aug_fn = watched
    image = photograph("astronaut").resize((40, 40))
    draws = 20_000
    with seeded(0):
        for _ in range(draws):
            assert torch.as_tensor(pipeline(image)).shape == (3, 32, 32)
    assert len(augment.ops) == len(used) == 15
    share = draws * 2 * 0.5 / 15
    assert all(abs(count - share) < 5 * share**0.5 for count in used.values()), used
    assert set(bits) == {0, 1} | set(bits) & {2} and 0.005 < bits[0] / bits.total() < 0.06, bits
    # Magnitude 9 +- 0.5, at most 10: 110 * 9 / 10 = 99.
    assert 98 < np.mean(solarized) < 99.5 and 4 < np.std(solarized) < 6


def blocks(image: Tensor) -> list[list[int]]:
    """Mean of the green channel in each of 3 x 3 blocks of (3, H, W) uint8."""
    return torch.nn.functional.adaptive_avg_pool2d(image[1].float()[None], 3)[0].round().int().tolist()


@pytest.mark.parametrize("seed", GOLDEN)
def test_what_becomes_of_a_photograph(seed: int) -> None:
    """Looked at when they were written down: a library that changes what a recipe means is seen here."""
    with seeded(seed):
        made = torch.as_tensor(train_pipeline(MODERN.recipe, MODERN.data)(photograph("astronaut")))
    assert torch.tensor(blocks(made)).sub(torch.tensor(GOLDEN[seed])).abs().max() <= 2


def test_no_bits_left_is_black() -> None:
    pipeline = train_pipeline(MODERN.recipe, MODERN.data)
    augment = next(stage for stage in pipeline.transforms if type(stage).__name__ == "RandAugment")  # type: ignore[attr-defined]
    posterize = next(op.aug_fn for op in augment.ops if op.name == "PosterizeIncreasing")
    image = photograph("coffee")
    assert posterize(image, 0, resample=0).getextrema() == ((0, 0),) * 3
    assert (np.asarray(posterize(image, 1, resample=0)) == (np.asarray(image) & 128)).all()


def test_what_cannot_be_read_is_skipped_and_counted_if_asked_for(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=3, val=1)
    small = ("regime.img_size=32", "budget.batch_size=12", "budget.bn_batch_size=12", "recipe.mixup_prob=0")
    sound = epoch(config(root, *small, "data.on_error=skip"))
    for name in ("0", "1"):
        break_file(root / "train" / "chelsea" / f"{name}.JPEG")
    with pytest.raises(DataError, match=r"chelsea/[01].JPEG: cannot be read"):
        epoch(config(root, *small))
    of = config(root, *small, "data.on_error=skip", "training.workers=1")
    images = load(of, train=True)
    ((x, labels),) = micro_batches(images, of.recipe, of.data, seed=3, epoch=0)
    assert sorted(line.split(":")[0][-14:] for line in images.skipped) == ["chelsea/0.JPEG"] + ["chelsea/1.JPEG"] * 2
    assert x.shape == sound[0][0].shape and torch.equal(labels, sound[0][1])  # chelsea's last stands for all three
    assert sum(not torch.equal(a, b) for a, b in zip(x, sound[0][0], strict=True)) == 2
    for path in (root / "train").rglob("*.JPEG"):
        path.write_text("no image")
    with pytest.raises(DataError, match=r"cannot be read: .*, and neither can those after it"):
        epoch(of)
    break_file(root / "val" / "coffee" / "0.JPEG")
    with pytest.raises(DataError, match=r"val/coffee/0.JPEG: cannot be read"):
        list(evaluation_batches(load(of, train=False), of.data, 4))


def test_a_limit_takes_images_of_every_class(tree: Path) -> None:
    images = load(config(tree, "data.max_train=8", "data.max_test=4", "recipe.batch_size=8"), train=True)
    assert (len(images), images.labels.tolist()) == (8, [0, 0, 1, 1, 2, 2, 3, 3])  # type: ignore[attr-defined]


def test_what_is_no_tree_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train: a folder of images for every class is needed"):
        load(config(tmp_path), train=True)
    root = plant(tmp_path / "photos", train=1, val=1)
    with pytest.raises(ConfigError, match=r"data.num_classes=5: allowed is 4, the folders in .*/train"):
        load(config(root, "data.num_classes=5"), train=True)
    (root / "val" / "coffee").rename(root / "val" / "tea")
    with pytest.raises(DataError, match=r"val: its folders are not those of .*/train"):
        load(config(root), train=False)


def test_classes_and_files_of_folders_are_counted(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for part in ("train", "val"):
        shutil.copytree(tree / part, tmp_path / "photos" / part)
    for name in (".thumbnails", ".trash/coffee"):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
    photograph("coffee").save(tmp_path / "photos" / "train" / ".thumbnails" / "1.jpg")
    of = compose(["study=photos", f"data.root={tmp_path / 'photos'}"])
    assert of.data.num_classes == 4 and of.study.name == "photos"
    assert len(load(of, train=True)) == 32 and count_images(of.data) == (32, 16)
    assert compose(["study=photos", f"data.root={tmp_path / 'photos'}", "data.num_classes=7"]).data.num_classes == 7
    said = inside("scripts/plan.py", "study=photos", f"data.root={tmp_path / 'photos'}", "images_per_second=16")
    assert said[0] == 0, said
    for root, message in ((tree / "train", "classes lie in .* itself, docs/data.md says how"), (tmp_path / "no", "$")):
        with pytest.raises(ConfigError, match=rf"^data.num_classes: a value is needed, or {root}/train \(.*{message}"):
            compose(["study=photos", f"data.root={root}"])
    assert count_images(compose(["study=photos", f"data.root={tmp_path}", "data.num_classes=4"]).data) is None


def test_files_are_listed_as_torchvision_lists_them(tree: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tree, tmp_path / "photos")
    deeper = root / "train" / "coffee" / "a" / "b"
    deeper.mkdir(parents=True)
    for name in ("x.PNG", "y.txt", "z.webp"):
        (deeper / name).touch()
    (root / "train" / "coffee" / "linked").symlink_to(tree / "val" / "rocket")
    found = records.find(config(root).data, "train")
    known = ImageFolder(str(root / "train"))
    assert [*zip(found.paths, found.labels.tolist(), strict=True)] == known.samples  # type: ignore[attr-defined]
    assert found.classes == known.classes and len(known.samples) == 32 + 4 + 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.aa=random"], "recipe.aa=random: allowed is none, or as rand-m9-mstd0.5-inc1"),
        (["recipe.interpolation=nearest"], "recipe.interpolation=nearest: allowed is bilinear or bicubic"),
        (["data.crop_pct=1.5"], "data.crop_pct=1.5: allowed is more than 0, up to 1"),
        (["data.in_chans=1", "data.mean=[0.5]", "data.std=[0.2]"], "data.in_chans=1: allowed is 3 for imagefolder"),
        (["data.train=train.tar"], "data.train=train.tar: allowed is nothing, but for data=webdataset"),
        (["training.workers=-1"], "training.workers=-1: allowed is 0 or more"),
    ],
)
def test_what_image_files_cannot_be_trained_with(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(config(Path("nowhere"), *words))
    assert str(caught.value).startswith(message)


def test_a_run_on_photographs_end_to_end_and_one_that_meets_a_broken_file(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=6, val=2)
    words = ["study=photos", f"data.root={root}", "data.num_classes=4", f"runs_dir={tmp_path}", "+step=patchify_stem"]
    words += ["budget.epochs=1", "budget.batch_size=12", "budget.bn_batch_size=12", "training.threads=1"]
    run = script("train.py", *words, "study.name=whole", "training.workers=1")
    output, _ = run.communicate()
    assert run.returncode == 0, output
    result = read_result(tmp_path / "whole" / "patchify_stem" / "seed-0" / RESULT)
    assert result["test_images"] == 8 and result["config"]["recipe"]["aa"] == "rand-m9-mstd0.5-inc1"
    broken = root / "train" / "coffee" / "3.JPEG"
    break_file(broken)
    run = script("train.py", *words, "study.name=broken", "training.workers=1")
    output, _ = run.communicate()
    assert run.returncode == 2 and f"{broken}: cannot be read" in output, output
    assert str(broken) in read_json(tmp_path / "broken" / "patchify_stem" / "seed-0" / FAILURE)["error"]


@pytest.mark.slow
def test_the_benchmark_makes_as_many_images_in_both_ways(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    for owner, name in ((Decoded, "_decode"), (ImageFolder, "__getitem__")):
        plainly = getattr(owner, name)

        def counted(self: object, place: int, owner: type = owner, plainly: Callable[..., Any] = plainly) -> Any:
            made[owner.__name__] += 1
            return plainly(self, place)

        monkeypatch.setattr(owner, name, counted)
    words = ["study=photos", "+step=training_recipe", f"data.root={tree}", "data.num_classes=4", "regime.img_size=64"]
    code, said = inside("benchmarks/data.py", *words, "images=5", "rounds=2")
    assert code == 0 and "\nratio " in said, said
    assert made == {"Decoded": 3 * 32, "ImageFolder": 3 * 32}

"""The same photographs from folders, archives, shards and tables: the same bits, counts and errors."""

import os
import sys
from pathlib import Path

import pytest
import torch
from helpers.containers import SOURCES, write_every
from helpers.photographs import break_file, plant, small
from helpers.smoke import computed, inside
from PIL import Image

from roadmap import runs
from roadmap.config.schema import Config, DataConfig
from roadmap.data.fetch import prepare
from roadmap.data.inspect import inspect
from roadmap.data.loader import load, micro_batches
from roadmap.errors import DataError
from roadmap.training.run import execute


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("photos"), train=5, val=4)


@pytest.fixture(scope="module")
def sources(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    words = write_every(tree, tmp_path_factory.mktemp("sources"))
    prepare(DataConfig(name="imagenet", root=words["imagenet"][1].partition("=")[2]))
    return words


@pytest.fixture(scope="module")
def from_folders(sources: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return outcome(sources["imagefolder"], tmp_path_factory.mktemp("folders"), workers=0)


def outcome(words: list[str], runs_dir: Path, *, workers: int) -> dict[str, object]:
    """Counts and losses of a run on a source."""
    options = [f"runs_dir={runs_dir}", f"training.workers={workers}", "training.threads=1", "study.name=one"]
    directory = runs.prepare(small(words, *options))
    execute(directory)
    found = computed(directory)
    return {key: value for key, value in found.items() if key not in ("config_hash", "deviations", "data", "classes")}


@pytest.mark.parametrize(("source", "workers"), [("imagenet", 0), ("webdataset", 0), ("webdataset", 2), ("parquet", 2)])
def test_every_source_trains_and_evaluates_alike(
    sources: dict[str, list[str]], from_folders: dict[str, object], source: str, workers: int, tmp_path: Path
) -> None:
    assert from_folders["test_images"] == 16
    assert outcome(sources[source], tmp_path, workers=workers) == from_folders


NAMES = {
    "imagefolder": ("chelsea/0.JPEG", "coffee/1.JPEG", "rocket/0.JPEG", "rocket/1.JPEG"),
    "imagenet": (
        "n00000002/0.JPEG",
        "n00000003/1.JPEG",
        "ILSVRC2012_val_00000004.JPEG",
        "ILSVRC2012_val_00000008.JPEG",
    ),
    "webdataset": ("train-0000.tar:chelsea_0.jpg", "coffee_1.jpg", "validation-0000.tar:rocket_0.jpg", "rocket_1.jpg"),
    "parquet": ("of-00001.parquet:3:chelsea_0.JPEG", "7:coffee_1.JPEG", "6:rocket_0.JPEG", "7:rocket_1.JPEG"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Photographs, among them a text, a truncated one, and a PNG and a CMYK one named JPEG."""
    root = tmp_path_factory.mktemp("faulty")
    tree = plant(root / "photos", train=3, val=2)
    (tree / "train" / "chelsea" / "0.JPEG").write_text("no image")
    break_file(tree / "train" / "coffee" / "1.JPEG")
    photo = Image.open(tree / "val" / "rocket" / "0.JPEG")
    photo.save(tree / "val" / "rocket" / "0.JPEG", format="PNG")
    photo.convert("CMYK").save(tree / "val" / "rocket" / "1.JPEG")
    words = write_every(tree, root)
    prepare(DataConfig(name="imagenet", root=str(root / "originals")))
    return words


def batch(of: Config) -> tuple[torch.Tensor, list[str]]:
    """All training images, and the names of those that were skipped."""
    images = load(of, train=True)
    ((x, _),) = micro_batches(images, of.recipe, of.data, seed=3, epoch=0)
    return x, [line.partition(": ")[0] for line in images.skipped]


@pytest.mark.parametrize("source", SOURCES)
def test_unreadable_images_stop_the_run_or_are_skipped(faulty: dict[str, list[str]], source: str) -> None:
    whole = ["recipe.mixup_prob=0", "budget.batch_size=12", "budget.bn_batch_size=12"]
    none, cut, *_ = NAMES[source]
    with pytest.raises(DataError, match=f"({none}|{cut}): cannot be read: "):
        batch(small(faulty[source], *whole))
    skipping = [*whole, "data.on_error=skip"]
    x, skipped = batch(small(faulty[source], *skipping))
    assert len(skipped) == 2 and all(line.endswith((none, cut)) for line in skipped)
    assert torch.equal(x, batch(small(faulty["imagefolder"], *skipping))[0])


@pytest.mark.parametrize("source", SOURCES)
def test_inspection_finds_every_fault(faulty: dict[str, list[str]], source: str) -> None:
    none, cut, png, cmyk = NAMES[source]
    *_, (done, total, report) = inspect(small(faulty[source]).data, workers=0)
    assert done == total == 20 and report.images == {"train": 10, "val": 8}
    a, b, *rest = report.errors  # four classes are no ImageNet
    assert len(rest) == (2 if source == "imagenet" else 0)
    assert a.endswith(f"{none}: cannot be read: cannot identify image file")
    assert f"{cut}: cannot be read: image file is truncated" in b
    c, d, *others = sorted(report.notes, key=lambda line: line.endswith("used"))
    assert c.endswith(f"{png}: PNG by another name") and d.endswith(f"{cmyk}: CMYK colours")
    assert [line.rpartition("/")[2] for line in others] == (
        ["test-00000-of-00001.parquet: not used"] if source == "parquet" else []
    )


def test_tables_are_made_ready_by_a_command(sources: dict[str, list[str]]) -> None:
    ready = "parquet: 20 images for train\nparquet: 16 images for val\n"
    assert inside("scripts/fetch_data.py", *sources["parquet"]) == (0, ready)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_shard_or_table_is_named(tree: Path, tmp_path: Path, share: float) -> None:
    for source, words in write_every(tree, tmp_path).items():
        if source in ("webdataset", "parquet"):
            path = sorted(Path(words[1].partition("=")[2]).rglob("*train*0000*"))[0]
            assert len(load(small(words), train=True)) == 20
            os.truncate(path, int(share * path.stat().st_size))
            with pytest.raises(DataError, match=f"{path}: cannot be read: "):
                load(small(words), train=True)
            *_, (_, _, report) = inspect(small(words).data, workers=0)
            assert str(path) in report.errors[0] and report.images["val"] == 16


@pytest.mark.parametrize("source", ["webdataset", "parquet"])
def test_missing_files_and_missing_libraries_are_named(
    sources: dict[str, list[str]], tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"no (shards|tables) named \*train\*"):
        load(small([f"data={source}", f"data.root={tmp_path}", f"data.cache={tmp_path}"]), train=True)
    for module in ("webdataset.tariterators", "datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    words = [*sources[source], f"data.cache={tmp_path}"]
    remedy = r"pip install 'convnet-roadmap\[shards\]'"
    with pytest.raises(DataError, match=rf"^data={source} needs the library .*: {remedy}"):
        load(small(words), train=True)

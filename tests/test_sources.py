"""The same photographs from folders, original archives, shards and tables: the same bits, counts and complaints."""

import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.containers import SOURCES, images, write_every, write_shards
from helpers.photographs import break_file, plant
from helpers.smoke import computed, script
from PIL import Image
from webdataset import TarWriter

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.schema import Config, DataConfig
from roadmap.data.fetch import prepare
from roadmap.data.inspect import inspect
from roadmap.data.loader import load, micro_batches
from roadmap.errors import ConfigError, DataError
from roadmap.training.run import execute

SMALL = ["study=photos", "regime.img_size=32", "budget.epochs=1", "budget.batch_size=8", "budget.bn_batch_size=8"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("photos"), train=5, val=4)


@pytest.fixture(scope="module")
def sources(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    words = write_every(tree, tmp_path_factory.mktemp("sources"))
    prepare(DataConfig(name="imagenet", root=words["imagenet"][1].partition("=")[2]))
    return words


def config(words: list[str], *more: str) -> Config:
    return compose([*SMALL, *words, "+step=training_recipe", *more])


@pytest.fixture(scope="module")
def from_folders(sources: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return outcome(sources["imagefolder"], tmp_path_factory.mktemp("folders"), workers=0)


def outcome(words: list[str], runs_dir: Path, *, workers: int) -> dict[str, object]:
    """What a run from a source computes: its counts and its losses."""
    options = [f"runs_dir={runs_dir}", f"training.workers={workers}", "training.threads=1", "study.name=one"]
    directory = runs.prepare(config(words, *options))
    execute(directory)
    found = computed(directory)
    return {key: value for key, value in found.items() if key not in ("config_hash", "deviations", "data")}


@pytest.mark.parametrize(("source", "workers"), [("imagenet", 0), ("webdataset", 0), ("webdataset", 2), ("parquet", 2)])
def test_every_source_trains_and_evaluates_alike(
    sources: dict[str, list[str]], from_folders: dict[str, object], source: str, workers: int, tmp_path: Path
) -> None:
    assert from_folders["test_images"] == 16
    assert outcome(sources[source], tmp_path, workers=workers) == from_folders


NAMES = {
    "imagefolder": ("chelsea/0.JPEG", "coffee/1.JPEG", "rocket/0.JPEG", "rocket/1.JPEG"),
    "imagenet": ("chelsea/0.JPEG", "coffee/1.JPEG", "ILSVRC2012_val_00000004.JPEG", "ILSVRC2012_val_00000008.JPEG"),
    "webdataset": ("train-0000.tar:chelsea_0.jpg", "coffee_1.jpg", "validation-0000.tar:rocket_0.jpg", "rocket_1.jpg"),
    "parquet": ("of-00001.parquet:3:chelsea_0.JPEG", "7:coffee_1.JPEG", "6:rocket_0.JPEG", "7:rocket_1.JPEG"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Photographs with one that is none, one cut off, a PNG and a CMYK one by the name of a JPEG."""
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
    """All images for training, and what was skipped."""
    images = load(of, train=True)
    ((x, _),) = micro_batches(images, of.recipe, of.data, seed=3, epoch=0)
    return x, [line.partition(": ")[0] for line in images.skipped]


@pytest.mark.parametrize("source", SOURCES)
def test_what_cannot_be_read_stops_the_run_or_is_skipped(faulty: dict[str, list[str]], source: str) -> None:
    whole = ["recipe.mixup_prob=0", "budget.batch_size=12", "budget.bn_batch_size=12"]
    none, cut, *_ = NAMES[source]
    with pytest.raises(DataError, match=f"({none}|{cut}): cannot be read: "):
        batch(config(faulty[source], *whole))
    skipping = [*whole, "data.on_error=skip"]
    x, skipped = batch(config(faulty[source], *skipping))
    assert len(skipped) == 2 and all(line.endswith((none, cut)) for line in skipped)
    assert torch.equal(x, batch(config(faulty["imagefolder"], *skipping))[0])


@pytest.mark.parametrize("source", SOURCES)
def test_the_look_finds_every_fault(faulty: dict[str, list[str]], source: str) -> None:
    none, cut, png, cmyk = NAMES[source]
    *_, (done, total, report) = inspect(config(faulty[source]).data, workers=0)
    assert done == total == 20 and report.images == {"train": 10, "val": 8}
    a, b, *rest = report.errors  # four classes are no ImageNet
    assert len(rest) == (3 if source == "imagenet" else 0)
    assert a.endswith(f"{none}: cannot be read: cannot identify image file")
    assert f"{cut}: cannot be read: image file is truncated" in b
    c, d, *others = sorted(report.notes, key=lambda line: line.endswith("used"))
    assert c.endswith(f"{png}: PNG by another name") and d.endswith(f"{cmyk}: CMYK colours")
    assert [line.rpartition("/")[2] for line in others] == (
        ["test-00000-of-00001.parquet: not used"] if source == "parquet" else []
    )


def test_a_class_too_many_and_an_order_other_than_the_wnids_are_found(tmp_path: Path) -> None:
    tree = plant(tmp_path / "photos", train=1, val=1)
    shards = tmp_path / "shards"
    shards.mkdir()
    for part, labels in (("train", (0, 2, 1, 4)), ("val", (0, 2, 1, 1))):
        with TarWriter(str(shards / f"{part}.tar")) as shard:
            for i, (_, path) in enumerate(images(tree, part)):
                shard.write({"__key__": f"n0000000{i}_7", "cls": labels[i], "jpg": path.read_bytes()})
    words = ["data=webdataset", f"data.root={shards}", f"data.cache={tmp_path}"]
    *_, (_, _, report) = inspect(compose([*SMALL, *words]).data, workers=0)
    assert report.errors == [
        f"{shards}: train and val have other classes: 4",
        f"{shards}: train: 4 classes, data.num_classes is 1000",
        f"{shards}: class 1 has images of n00000002 n00000003",
        f"{shards}: classes are not in the order of their wnids, from n00000002 on",
        f"{shards}: train: 4 images, ImageNet-1K has 1,281,167",
        f"{shards}: val: 4 images, ImageNet-1K has 50,000",
    ]
    with pytest.raises(ConfigError, match=r"data.num_classes=4: allowed is 5, one more than the last class of train"):
        load(config([*words, "data.num_classes=4"]), train=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server of its own process on the loopback, and the folder that it hands out."""
    root = tmp_path / "web"
    root.mkdir()
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(root), "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().split("port ")[1].split()[0]
    yield f"http://127.0.0.1:{port}", root
    process.terminate()
    process.communicate()


def test_shards_under_urls_are_fetched_once(
    sources: dict[str, list[str]], server: tuple[str, Path], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    url, root = server
    write_shards(tree, root / "shards")
    words = ["data=webdataset", f"data.root={url}/shards", f"data.cache={tmp_path / 'cache'}", "data.num_classes=4"]
    words += ["data.train='photos-train-{0000..0001}.tar'", f"data.val={url}/shards/photos-validation-0000.tar"]
    of = config(words)
    found = load(of, train=True)
    local = load(config(sources["webdataset"]), train=True)
    assert [found.records.read(i) for i in range(20)] == [local.records.read(i) for i in range(20)]
    assert found.labels.equal(local.labels)
    assert compose(["study=imagenet", *words]).study.name == "imagenet,data=webdataset"
    shutil.rmtree(root / "shards")
    assert len(load(of, train=True)) == 20
    with pytest.raises(DataError, match=rf"{url}/shards/photos-validation-0000.tar: cannot be fetched to"):
        load(of, train=False)
    assert [path.name for path in tmp_path.rglob("*validation*")] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.train='pipe:touch here'"], r"data.train=pipe:touch here: allowed is names, or URLs of http https gs"),
        (["data.train='train-{0..'"], r"data.train=train-\{0\.\.: allowed is names, or URLs"),
    ],
)
def test_what_is_no_list_of_shards_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(config(["data=webdataset", "data.root=nowhere", *words]), train=True)


def write(shard: Path, *samples: dict[str, object]) -> None:
    with TarWriter(str(shard), encoder=False) as tar:
        for i, sample in enumerate(samples):
            tar.write({"__key__": f"{i}", **sample})


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"pyd": pickle.dumps(1), "cls": b"0"}, r"1: one image .* and its class .* needed, there is \.cls \.pyd"),
        ({"jpg": b"x"}, r"1: one image .* needed, there is \.jpg"),
        ({"jpg": b"x", "png": b"x", "cls": b"0"}, r"1: one image .* needed"),
        ({"jpg": b"x", "cls": b"tench"}, r"1\.cls: allowed is a number from 0 on, not 'tench'"),
    ],
)
def test_what_is_no_sample_is_refused(tmp_path: Path, sample: dict[str, object], message: str) -> None:
    write(tmp_path / "train.tar", {"jpg": b"x", "cls": b"0"}, sample)
    with pytest.raises(DataError, match=rf"train\.tar:{message}"):
        load(config(["data=webdataset", f"data.root={tmp_path}", f"data.cache={tmp_path}"]), train=True)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_shard_or_table_that_breaks_off_is_named(tree: Path, tmp_path: Path, share: float) -> None:
    for source, words in write_every(tree, tmp_path).items():
        if source in ("webdataset", "parquet"):
            path = sorted(Path(words[1].partition("=")[2]).rglob("*train*0000*"))[0]
            assert len(load(config(words), train=True)) == 20
            os.truncate(path, int(share * path.stat().st_size))
            with pytest.raises(DataError, match=f"{path}: cannot be read: "):
                load(config(words), train=True)
            *_, (_, _, report) = inspect(config(words).data, workers=0)
            assert str(path) in report.errors[0] and report.images["val"] == 16


def test_tables_are_read_again_when_they_change_and_the_network_is_left_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("the network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    words = ["data=parquet", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=1"]
    for content in (b"one", b"two"):
        row = {"image": {"bytes": content, "path": None}, "label": 0, "caption": "not used"}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
        found = load(config(words), train=True).records
        assert pickle.loads(pickle.dumps(found)).read(0) == content
        assert found.name(0) == f"{tmp_path}/train.parquet:0"
    pq.write_table(pa.table({"jpg": [b"x"], "label": [0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=rf"^{tmp_path}: tables with columns image .* are needed: "):
        load(config(words), train=True)


@pytest.mark.parametrize("source", ["webdataset", "parquet"])
def test_missing_files_and_missing_libraries_are_named(
    sources: dict[str, list[str]], tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"no (shards|tables) named \*train\*"):
        load(config([f"data={source}", f"data.root={tmp_path}", f"data.cache={tmp_path}"]), train=True)
    for module in ("webdataset.tariterators", "datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    words = [*sources[source], f"data.cache={tmp_path}"]
    with pytest.raises(
        DataError, match=rf"^data={source} needs the library .*: pip install 'convnet-roadmap\[shards\]'"
    ):
        load(config(words), train=True)


@pytest.mark.slow
def test_from_the_command_line(sources: dict[str, list[str]], faulty: dict[str, list[str]], tmp_path: Path) -> None:
    words = [*SMALL, *sources["parquet"], "+step=gelu", f"runs_dir={tmp_path}", "training.threads=1"]
    run = script("train.py", *words)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "parquet: 20 images for train\nparquet: 16 images for val\n" in output
    run = script("scripts/check_data.py", *faulty["webdataset"], "training.workers=2")
    output, _ = run.communicate()
    assert run.returncode == 1, output
    assert "train: 10 images in 4 classes" in output and "train-0000.tar:coffee_1.jpg: cannot be read" in output
    run = script("scripts/fetch_data.py", "data=webdataset", f"data.root={tmp_path}")
    output, _ = run.communicate()
    assert run.returncode == 2 and f"{tmp_path}: no shards named *train*.tar" in output, output

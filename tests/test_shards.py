"""Shards: local or under URLs, listed, indexed, and refused if a sample is malformed."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.containers import images, write_shards
from helpers.photographs import SMALL, plant, small
from webdataset import TarWriter

from roadmap.config.compose import compose
from roadmap.data.inspect import inspect
from roadmap.data.loader import load
from roadmap.errors import ConfigError, DataError


def test_inspection_finds_other_classes_and_an_order_other_than_the_wnids(tmp_path: Path) -> None:
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
        load(small([*words, "data.num_classes=4"]), train=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server in a process of its own, and the folder that it serves."""
    root = tmp_path / "web"
    root.mkdir()
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(root), "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().split("port ")[1].split()[0]
    yield f"http://127.0.0.1:{port}", root
    process.terminate()
    process.communicate()


def test_shards_under_urls_are_downloaded_once(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    url, root = server
    tree = plant(tmp_path / "photos", train=5, val=4)
    write_shards(tree, root / "shards")
    write_shards(tree, tmp_path / "shards")
    words = ["data=webdataset", f"data.root={url}/shards", f"data.cache={tmp_path / 'cache'}", "data.num_classes=4"]
    words += ["data.train='photos-train-{0000..0001}.tar'", f"data.val={url}/shards/photos-validation-0000.tar"]
    of = small(words)
    found = load(of, train=True)
    here = ["data=webdataset", f"data.root={tmp_path / 'shards'}", f"data.cache={tmp_path / 'other'}"]
    local = load(small([*here, "data.num_classes=4"]), train=True)
    assert [found.records.read(i) for i in range(20)] == [local.records.read(i) for i in range(20)]
    assert found.labels.equal(local.labels)
    assert compose(["study=imagenet", *words]).study.name == "imagenet,data=webdataset"
    shutil.rmtree(root / "shards")
    assert len(load(of, train=True)) == 20
    with pytest.raises(DataError, match=rf"{url}/shards/photos-validation-0000.tar: cannot be fetched to"):
        load(of, train=False)
    assert not list((tmp_path / "cache").rglob("*validation*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.train='pipe:touch here'"], r"data.train=pipe:touch here: allowed is names, or URLs of http https gs"),
        (["data.train='train-{0..'"], r"data.train=train-\{0\.\.: allowed is names, or URLs"),
    ],
)
def test_malformed_lists_of_shards_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(small(["data=webdataset", "data.root=nowhere", *words]), train=True)


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
def test_malformed_samples_are_refused(tmp_path: Path, sample: dict[str, object], message: str) -> None:
    write(tmp_path / "train.tar", {"jpg": b"x", "cls": b"0"}, sample)
    with pytest.raises(DataError, match=rf"train\.tar:{message}"):
        load(small(["data=webdataset", f"data.root={tmp_path}", f"data.cache={tmp_path}"]), train=True)

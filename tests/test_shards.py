"""Shards: local or under URLs, listed, indexed, and refused if a sample is malformed."""

import os
import pickle
import re
import tarfile
from pathlib import Path

import pytest
from helpers.containers import add, images, write_shards
from helpers.downloads import Mirror
from helpers.photographs import SMALL, plant, small
from webdataset import TarWriter

from roadmap.config.compose import compose
from roadmap.data.inspect import inspect
from roadmap.data.loader import load
from roadmap.data.shards import find
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


def test_shards_under_urls_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    shards = write_shards(plant(tmp_path / "photos", train=5, val=4), tmp_path / "shards")
    with Mirror({f"shards/{path.name}": path.read_bytes() for path in shards.iterdir()}) as server:
        url = f"{server.url}shards"
        words = ["data=webdataset", f"data.root={url}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=4"]
        words += ["data.train='photos-train-{0000..0001}.tar'", f"data.val={url}/photos-validation-0000.tar"]
        of = small(words)
        found = load(of, train=True)
        here = ["data=webdataset", f"data.root={shards}", f"data.cache={tmp_path / 'other'}"]
        local = load(small([*here, "data.num_classes=4"]), train=True)
        assert [found.records.read(i) for i in range(20)] == [local.records.read(i) for i in range(20)]
        assert found.labels.equal(local.labels)
        assert compose(["study=imagenet", *words]).study.name == "imagenet,data=webdataset"
        server.files.clear()
        assert len(load(of, train=True)) == 20
        with pytest.raises(DataError, match=rf"{url}/photos-validation-0000.tar: cannot be fetched to"):
            load(of, train=False)
    assert not list((tmp_path / "cache").rglob("*validation*"))


@pytest.mark.parametrize("listed", ["pipe:touch here", "train-{0..", "http://[::1/a.tar", "http:///x.tar"])
def test_malformed_lists_of_shards_are_refused(listed: str) -> None:
    refusal = f"data.train={listed}: allowed is names, or URLs of http https gs"
    with pytest.raises(ConfigError, match=re.escape(refusal)):
        load(small(["data=webdataset", "data.root=nowhere", f"data.train='{listed}'"]), train=True)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"pyd": pickle.dumps(1), "cls": b"0"}, r"1: one image .* and its class .* needed, there is \.cls \.pyd"),
        ({"jpg": b"x"}, r"1: one image .* needed, there is \.jpg"),
        ({"jpg": b"x", "png": b"x", "cls": b"0"}, r"1: one image .* needed"),
        ({"jpg": b"x", "cls": b"tench"}, r"1\.cls: allowed is a number from 0 to 999999, not 'tench'"),
        ({"jpg": b"x", "cls": b"9" * 30}, r"1\.cls: allowed is a number from 0 to 999999, not '9{20}'"),
        ({"jpg": b"x", "cls": b"1234567"}, r"1\.cls: allowed is a number from 0 to 999999, not '1234567'"),
    ],
)
def test_malformed_samples_are_refused(tmp_path: Path, sample: dict[str, object], message: str) -> None:
    with TarWriter(str(tmp_path / "train.tar"), encoder=False) as tar:
        for i, each in enumerate(({"jpg": b"x", "cls": b"0"}, sample)):
            tar.write({"__key__": f"{i}", **each})
    with pytest.raises(DataError, match=rf"train\.tar:{message}"):
        load(small(["data=webdataset", f"data.root={tmp_path}", f"data.cache={tmp_path}"]), train=True)


def test_what_is_not_meant_in_a_shard_is_skipped_and_noted(tmp_path: Path) -> None:
    """macOS packs a hidden file beside each file; a pipe called a shard would be read for ever."""
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for name, content in (("./a.jpg", b"x"), ("./._a.jpg", b"Mac"), ("./a.cls", b"0"), ("__MACOSX/b.cls", b"0")):
            add(tar, name, content)
    (tmp_path / "._train.tar").write_bytes(b"Mac")
    os.mkfifo(tmp_path / "train-2.tar")
    words = ["data=webdataset", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=1"]
    for _ in range(2):  # the second time from the index
        found = find(small(words).data, "train")
        assert (found.names, found.labels.tolist(), found.errors) == (["./a.jpg"], [0], [])
        skipped = "skipped, hidden or a file manager's: ./._a.jpg __MACOSX/b.cls"
        assert [*found.notes] == [f"{tmp_path}/train.tar: {skipped}"]
        assert [*found.others] == [f"{tmp_path}/._train.tar", f"{tmp_path}/train-2.tar"]


def test_a_url_cannot_lead_out_of_the_cache(tmp_path: Path) -> None:
    url = "https://host/../../evil-train.tar"
    words = ["data=webdataset", "data.root=nowhere", f"data.train='{url}'", f"data.cache={tmp_path / 'a' / 'cache'}"]
    with pytest.raises(ConfigError, match=rf"^{re.escape(url)}: allowed is a URL without '\.\.'"):
        load(small(words), train=True)
    assert not [*tmp_path.rglob("*")]

"""Tables in parquet files."""

import json
import pickle
import socket
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.photographs import small
from helpers.smoke import inside

from roadmap.data.loader import load
from roadmap.errors import ConfigError, DataError


def test_changed_tables_are_read_again_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", Mock(side_effect=AssertionError("the network")))
    words = ["data=parquet", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=1"]
    for content in (b"one", b"two"):
        row = {"image": {"bytes": content, "path": None}, "label": 0, "caption": "not used"}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
        found = load(small(words), train=True).records
        assert pickle.loads(pickle.dumps(found)).read(0) == content
        assert found.name(0) == f"{tmp_path}/train.parquet:0"
    pq.write_table(pa.table({"jpg": [b"x"], "label": [0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=rf"^{tmp_path}: tables with columns image .* are needed: "):
        load(small(words), train=True)


def test_a_null_image_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    for part in ("train", "val"):
        rows = [{"image": {"bytes": b"x", "path": "a.jpg"}, "label": 0}, {"image": None, "label": 0}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{part}.parquet")
    words = ["data=parquet", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=1"]
    images = load(small(words), train=True)
    assert (images.records.read(1), images.records.name(1)) == (b"", f"{tmp_path}/train.parquet:1")
    with pytest.raises(DataError, match=rf"^{tmp_path}/train\.parquet:[01].*: cannot "):
        next(images.batches([torch.tensor([1])], seed=0))


def write(path: Path, names: list[str], label: int = 0) -> None:
    """A table of one image whose metadata name the classes."""
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"image": [{"bytes": b"x", "path": "x"}], "label": pa.array([label], pa.int64())})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_classes_that_tables_name_are_the_same_in_every_table(tmp_path: Path) -> None:
    words = ["data=parquet", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=3"]
    write(tmp_path / "train-0.parquet", ["cat", "dog", "owl"])
    assert load(small(words), train=True).classes == ["cat", "dog", "owl"]
    for names, message in (
        (["cat", "owl", "dog"], r"another order of classes than the training images in .*: class 1 is owl, not dog$"),
        (["cat", "dog"], "other classes than the training images in .*: owl$"),
    ):
        write(tmp_path / "val-0.parquet", names)
        with pytest.raises(DataError, match=f"^val of {tmp_path}: {message}"):
            load(small(words), train=False)
        code, said = inside("scripts/check_data.py", "study=photos", *words, "training.workers=0")
        assert code == 1 and f"error: {tmp_path}: train and val have " in said
    write(tmp_path / "val-0.parquet", ["cat", "dog", "owl"], label=3)
    with pytest.raises(ConfigError, match=r"val-0.parquet:0:x: label=3: allowed is below 3, the number of classes"):
        load(small(words), train=False)
    write(tmp_path / "train-1.parquet", ["owl", "dog", "cat"])
    with pytest.raises(
        DataError, match=r"train-1.parquet: another order of classes than .*train-0.parquet: class 0 is o"
    ):
        load(small(words), train=True)

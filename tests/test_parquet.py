"""Tables in parquet files."""

import pickle
import socket
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.photographs import small

from roadmap.data.loader import load
from roadmap.errors import DataError


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

"""A data set that is nothing but an entry in the registry and a file of options."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.downloads import Mirror
from torchvision.datasets import KMNIST

from roadmap.config.compose import compose
from roadmap.data.fetch import prepare
from roadmap.data.loader import load, micro_batches

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 28, 28), dtype=np.uint8)
LABELS = np.arange(64, dtype=np.uint8) % 10


def test_it_is_fetched_and_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = (0x803, 64, 28, 28), PIXELS
    labels = (0x801, 64), LABELS
    files = {}
    for part in ("train", "t10k"):
        for kind, (header, content) in (("images-idx3", images), ("labels-idx1", labels)):
            raw = np.array(header, ">i4").tobytes() + content.tobytes()
            files[f"{part}-{kind}-ubyte.gz"] = gzip.compress(raw)
    monkeypatch.setattr(KMNIST, "resources", [(name, hashlib.md5(raw).hexdigest()) for name, raw in files.items()])
    monkeypatch.setenv("no_proxy", "*")
    config = compose(["study=smoke", "data=kmnist", f"data.root={tmp_path}", "data.max_train=64", "data.max_test=64"])
    with Mirror({**files}).serving() as url:
        monkeypatch.setattr(KMNIST, "mirrors", [url])
        prepare(config.data)
    prepare(config.data)
    part = load(config, train=True)
    assert part.shape == (64, 1, 32, 32)
    assert torch.equal(part.images[:, 0, 2:30, 2:30], torch.from_numpy(PIXELS))  # type: ignore[union-attr]
    ((x, _),) = micro_batches(part, config.recipe, config.data, seed=0, epoch=0)
    assert x.shape == (64, 1, 32, 32)

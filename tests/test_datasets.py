"""The registry of data sets agrees with conf/data."""

import importlib

import pytest
import yaml
from torchvision import datasets as torchvision_datasets

from roadmap.config.yaml_files import CONF
from roadmap.data.datasets import DATASETS, dataset


@pytest.mark.parametrize("name", sorted({*DATASETS} | {path.stem for path in (CONF / "data").glob("*.yaml")}))
def test_every_entry_has_its_options_and_a_reader_and_all_options_an_entry(name: str) -> None:
    entry, options = dataset(name), yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    assert options["name"] == name and options["in_chans"] == entry.channels == len(options["mean"])
    assert entry.classes in (0, options["num_classes"])
    if entry.in_memory:
        assert hasattr(torchvision_datasets, entry.torchvision) and min(entry.images) > 0 and not entry.reader
    else:
        assert callable(importlib.import_module(f"roadmap.data.{entry.reader}").find)

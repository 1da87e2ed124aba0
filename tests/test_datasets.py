"""The registry of data sets agrees with conf/data, and configurations are checked against it."""

import importlib

import pytest
import yaml
from torchvision import datasets as torchvision_datasets

from roadmap.config.compose import compose
from roadmap.config.conf import CONF
from roadmap.data.datasets import DATASETS, dataset
from roadmap.errors import ConfigError


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_has_its_options_and_a_reader(name: str) -> None:
    entry, options = dataset(name), yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    assert options["name"] == name and options["in_chans"] == entry.channels == len(options["mean"])
    assert entry.classes in (0, options["num_classes"])
    if entry.in_memory:
        assert hasattr(torchvision_datasets, entry.torchvision) and min(entry.images) > 0 and not entry.reader
    else:
        assert callable(importlib.import_module(f"roadmap.data.{entry.reader}").find)


def test_every_file_of_options_has_an_entry() -> None:
    assert {path.stem for path in (CONF / "data").glob("*.yaml")} == DATASETS.keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.name=imagnet"], r"data.name=imagnet: allowed is one of .* \(did you mean imagenet\?\)"),
        (
            ["data.in_chans=3", "data.mean=[0,0,0]", "data.std=[1,1,1]"],
            "data.in_chans=3: allowed is 1 for fashion_mnist",
        ),
        (["data.num_classes=9"], "data.num_classes=9: allowed is 10 for fashion_mnist"),
        (["data.max_train=16"], "recipe.batch_size=64: allowed is up to 16, the training images"),
    ],
)
def test_what_contradicts_the_registry_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{message}$"):
        compose(["study=smoke", *words])

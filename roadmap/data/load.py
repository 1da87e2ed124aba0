"""The images of a configuration, wherever they lie."""

from typing import Any

from roadmap.checks import IN_MEMORY, TEST_ONLY, require
from roadmap.data import memory
from roadmap.data.augment import Part
from roadmap.schema import Config


def fingerprint(training: Part, test: Part) -> dict[str, Any] | None:
    """What tells these images from others (`roadmap.data.fingerprint`); None where their data set's name does."""
    if isinstance(training, memory.Images):
        return None
    from roadmap.data import fingerprint, photos

    assert isinstance(training, photos.Photos) and isinstance(test, photos.Photos)
    return fingerprint.fingerprint({"train": training.records, "val": test.records})


def load(config: Config, *, train: bool) -> Part:
    """The images to train or to test with.

    Raises:
        DataError: files are missing or damaged.
        ConfigError: they are not what the configuration says of them.
    """
    if config.data.name in IN_MEMORY:
        return memory.load(config.data, train)
    from roadmap.data import photos, testsets  # timm and torchvision: seconds of import, for those who need them

    if config.data.name in TEST_ONLY:
        require(not train, "data", config.data.name.value, "a data set to train with: this one only tests")
        return testsets.load(config.data, config.recipe, workers=config.training.workers)
    return photos.load(config.data, config.recipe, train=train, workers=config.training.workers)

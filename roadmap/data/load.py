"""The images of a configuration, wherever they lie."""

from typing import Any

from roadmap.config.checks import IN_MEMORY, TEST_ONLY
from roadmap.config.schema import Config
from roadmap.data import in_memory as memory
from roadmap.data.loader import Part
from roadmap.errors import require


def fingerprint(training: Part, test: Part) -> dict[str, Any] | None:
    """What tells these images from others (`roadmap.data.fingerprint`); None where their data set's name does."""
    if isinstance(training, memory.Images):
        return None
    from roadmap.data import fingerprint
    from roadmap.data import image_files as photos

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
    from roadmap.data import image_files as photos  # timm and torchvision: seconds of import, for those who need them
    from roadmap.data import test_sets as testsets

    if config.data.name in TEST_ONLY:
        require(not train, "data", config.data.name.value, "a data set to train with: this one only tests")
        return testsets.load(config.data, config.recipe, workers=config.training.workers)
    return photos.load(config.data, config.recipe, train=train, workers=config.training.workers)

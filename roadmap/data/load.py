"""The images of a configuration, wherever they lie."""

from roadmap.checks import IN_MEMORY
from roadmap.data import memory
from roadmap.data.augment import Part
from roadmap.schema import Config


def load(config: Config, *, train: bool) -> Part:
    """The images to train or to test with.

    Raises:
        DataError: files are missing or damaged.
        ConfigError: they are not what the configuration says of them.
    """
    if config.data.name in IN_MEMORY:
        return memory.load(config.data, train)
    from roadmap.data import photos  # timm and torchvision: seconds of import, for those who need them

    return photos.load(config.data, config.recipe, train=train, workers=config.training.workers)

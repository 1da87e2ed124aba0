"""Where a run departs from the paper: its configuration beside that of the paper's own study."""

from roadmap.checks import IN_MEMORY
from roadmap.config import compose, difference, to_dict, under
from roadmap.schema import Config
from roadmap.steps import CONF

STUDIES = {"resnet50": "imagenet", "resnet200": "imagenet_r200"}
"""The paper's studies; other regimes are compared with the smaller one."""
COMPARED = ("recipe", "regime.name", "data.name", "data.img_size", "data.max_train", "data.max_test", "data.crop_pct")
AUGMENTATION = "timm 0.3.2"
"""What the paper's code asks for."""

Departures = dict[str, tuple[object, object]]


def departures(config: Config) -> Departures:
    """Dotted key to (this run's value, the paper's), for what decides a run's outcome beside its network.

    A recipe that has no file is compared with the modern one.
    """
    study = STUDIES.get(config.regime.name, "imagenet")
    recipe = config.recipe.name if (CONF / "recipe" / f"{config.recipe.name}.yaml").is_file() else "modern"
    paper = to_dict(compose([f"study={study}", f"recipe={recipe}"]))
    found = difference(to_dict(config), paper)
    listed: Departures = {key: pair for key, pair in sorted(found.items()) if under(key, COMPARED)}
    return listed | {"augmentation": (augmentation(config), AUGMENTATION)}


def augmentation(config: Config) -> str:
    """What carries out the augmentation."""
    if config.data.name in IN_MEMORY:
        return "by batches"
    from timm import __version__

    return f"timm {__version__}"

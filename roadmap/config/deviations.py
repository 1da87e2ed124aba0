"""Deviations of a run from the paper: its configuration compared with that of the paper's own study."""

from importlib.metadata import version

from roadmap.config.conf import choices, composed, plain
from roadmap.config.identity import difference, under
from roadmap.config.schema import Config, Ladder
from roadmap.config.steps import PAPER_STUDIES, overrides_of, steps
from roadmap.data.datasets import dataset

RECIPE_STUDY = "imagenet_recipe"
"""The recipe ladder at the paper's size, which the paper itself did not train."""
COMPARED = (
    "recipe",
    "regime.name",
    *(f"data.{key}" for key in ("name", "img_size", "max_train", "max_test", "crop_pct", "on_error")),
)
AUGMENTATION = "timm 0.3.2"
"""The version that the paper's code requires."""

Deviations = dict[str, tuple[object, object]]


def deviations(config: Config) -> Deviations:
    """Dotted key to (value of this run, value of the paper), for all that decides an outcome beside the network.

    A step of one's own is compared with the step it was made from, trained by the published recipe of its recipe's
    name.
    """
    ladder = config.study.ladder
    study = PAPER_STUDIES.get(config.regime.name, "imagenet") if ladder is Ladder.network else RECIPE_STUDY
    known = {step.name: step for step in steps(ladder=ladder)}
    step = next(known[name] for name in (config.step.name, config.step.parent, *known) if name in known)
    overrides = [f"study={study}", *overrides_of(step)]
    if ladder is Ladder.network and config.step.name not in known and config.recipe.name in choices("recipe"):
        overrides.append(f"recipe={config.recipe.name}")
    found = difference(plain(config), composed(overrides))
    listed = {key: pair for key, pair in sorted(found.items()) if under(key, COMPARED)}
    return listed | {"augmentation": (augmentation(config), AUGMENTATION)}


def augmentation(config: Config) -> str:
    """The library that augments images, with its version."""
    if dataset(config.data.name).in_memory:
        return "by batches"
    return f"timm {version('timm')}, Pillow {version('pillow')}"

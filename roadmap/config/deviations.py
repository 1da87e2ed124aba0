"""Where a run deviates from the paper: its configuration beside that of the paper's own study."""

from importlib.metadata import version

from roadmap.config.compose import compose, to_dict
from roadmap.config.identity import difference, under
from roadmap.config.schema import Config, Ladder
from roadmap.config.steps import CONF, steps
from roadmap.data.datasets import dataset

STUDIES = {"resnet50": "imagenet", "resnet200": "imagenet_r200"}
"""The paper's studies; other regimes are compared with the smaller one."""
RECIPE_STUDY = "imagenet_recipe"
"""What the paper would have run to take its recipe apart."""
COMPARED = (
    "recipe",
    "regime.name",
    *(f"data.{key}" for key in ("name", "img_size", "max_train", "max_test", "crop_pct", "on_error")),
)
AUGMENTATION = "timm 0.3.2"
"""What the paper's code asks for."""

Deviations = dict[str, tuple[object, object]]


def deviations(config: Config) -> Deviations:
    """Dotted key to (this run's value, the paper's), for what decides a run's outcome beside its network.

    A rung of one's own is compared with the one it was made from, under the published recipe that it names.
    """
    ladder = config.study.ladder
    study = STUDIES.get(config.regime.name, "imagenet") if ladder is Ladder.network else RECIPE_STUDY
    rungs = {rung.name: rung for rung in steps(ladder=ladder)}
    rung = next(rungs[name] for name in (config.step.name, config.step.parent, "resnet") if name in rungs)
    words = [f"+{ladder.value}={rung.name}"] if rung.parent else []
    published = (CONF / "recipe" / f"{config.recipe.name}.yaml").exists()
    if ladder is Ladder.network and config.step.name not in rungs and published:
        words.append(f"recipe={config.recipe.name}")
    paper = to_dict(compose([f"study={study}", *words]))
    found = difference(to_dict(config), paper)
    listed: Deviations = {key: pair for key, pair in sorted(found.items()) if under(key, COMPARED)}
    return listed | {"augmentation": (augmentation(config), AUGMENTATION)}


def augmentation(config: Config) -> str:
    """What carries out the augmentation."""
    if dataset(config.data.name).in_memory:
        return "by batches"
    return f"timm {version('timm')}, Pillow {version('pillow')}"

"""The ladders as data: their steps in order, what each changes, and how a run deviates from the paper."""

from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

from roadmap.config.checks import check_model
from roadmap.config.conf import composed, instance, to_dict
from roadmap.config.identity import difference, flatten, under
from roadmap.config.schema import Config, ModelConfig, StudyConfig
from roadmap.config.step_files import naming_file, read_ladder
from roadmap.config.yaml_files import Data, choices
from roadmap.data.datasets import dataset
from roadmap.errors import require_one_of

DECIDES_OUTCOME = (
    "recipe",
    "regime.name",
    "training.max_steps",
    *(f"data.{key}" for key in ("name", "img_size", "resize", "max_train", "max_test", "crop_pct", "on_error")),
    *(f"data.{key}" for key in ("fraction", "holdout", "subset_seed")),
)

Deviations = dict[str, tuple[object, object]]


@dataclass(frozen=True)
class Step:
    """A step of a ladder, read from its file."""

    name: str
    parent: str | None
    section: str  # section of the paper
    group: str
    title: str
    main_sequence: bool  # whether later steps build on it; the others are side steps
    declares: frozenset[str]  # dotted keys that its file sets, or the part that it replaces
    regime: str
    ladder: str
    file: str  # conf/ladder/LADDER/NAME.yaml

    @cached_property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Dotted key to (value before, value after) in the regime, as published; of a replaced recipe, its name."""
        if self.parent is None:
            return {}
        parent = find(self.parent, self.regime, self.ladder)
        before, after = (_values(published(each), self.declares) for each in (parent, self))
        return {key: (before[key], value) for key, value in after.items() if before[key] != value}


def regimes() -> list[str]:
    """Names of the sizes of network."""
    return choices("regime")


@cache
def steps(regime: str | None = None, ladder: str = StudyConfig.ladder) -> list[Step]:
    """All steps of a ladder, by distance from its start, then by title; without a regime, in the ladder's first.

    The main sequence is the longest chain of parents, and of chains of one length the one that ends in a step of the
    paper (any section but "own").

    Raises:
        ConfigError: an unknown regime or ladder, or a file of it that is wrong.
    """
    files = read_ladder(ladder)
    size = regime or next(iter(files.options.studies))
    require_one_of("regime", size, regimes())
    chains = {name: files.chain(name) for name in files.files}
    end = max(sorted(chains), key=lambda name: (len(chains[name]), files.files[name].step.section != "own"))
    return [
        Step(**asdict(file.step), main_sequence=file in chains[end], declares=file.declares, regime=size,
             ladder=ladder, file=file.path)
        for file in files.files.values()
    ]  # fmt: skip


def find(name: str | None, regime: str | None = None, ladder: str = StudyConfig.ladder) -> Step:
    """The step of that name, or the start; a ConfigError for an unknown step, regime or ladder."""
    files = read_ladder(ladder)
    file = files.chain(name or files.start)[-1]
    return next(step for step in steps(regime, ladder) if step.name == file.step.name)


def published(step: Step) -> Data:
    """The configuration of a step as published, in the size of its regime, as plain data."""
    return composed(as_published(step))


def as_published(step: Step) -> list[str]:
    """The overrides of a step as published, in the size of its regime."""
    study = read_ladder(step.ladder).study(step.regime)
    return [f"study={study}", f"study.ladder={step.ladder}", f"regime={step.regime}", f"+step={step.name}"]


def model_config(step: str | None = None, regime: str | None = None, ladder: str = StudyConfig.ladder) -> ModelConfig:
    """The network of a step in a regime, as data; without a step, where the ladder starts."""
    found = find(step, regime, ladder)
    model: ModelConfig = instance(ModelConfig, published(found)["model"])
    with naming_file(read_ladder(ladder).chain(found.name), []):
        check_model(model)
    return model


def deviations(config: Config) -> Deviations:
    """Dotted key to (value of this run, value of the paper), for all that decides an outcome beside the network.

    A step of one's own is compared with the step it was made from, trained by the published recipe of its recipe's
    name. A ladder without a reference has nothing to deviate from.
    """
    ladder = read_ladder(config.study.ladder)
    if ladder.options.reference is None:
        return {}
    known, recipe = ladder.files, config.recipe.name
    step = next(name for name in (config.step.name, config.step.parent, ladder.start) if name in known)
    own_recipe = [f"recipe={recipe}"] if config.step.name not in known and recipe in choices("recipe") else []
    words = [f"study={ladder.study(config.regime.name)}", f"study.ladder={ladder.name}", f"+step={step}", *own_recipe]
    found = difference(to_dict(config), composed(words))
    library = f"timm {version('timm')}, Pillow {version('pillow')}"
    augmentation = "by batches" if dataset(config.data.name).in_memory or config.data.in_memory else library
    found.pop("recipe.init_weights", None)  # its hash decides, not where it lies
    listed = {key: pair for key, pair in sorted(found.items()) if under(key, DECIDES_OUTCOME)}
    return listed | {"augmentation": (augmentation, "timm 0.3.2")}  # the version that the paper's code requires


def _values(config: Data, declares: frozenset[str]) -> Data:
    """Dotted keys of model and recipe; of a recipe that is replaced as a whole only its name."""
    values = flatten({part: config[part] for part in ("model", "recipe")})
    name = values.pop("recipe.name")
    if "recipe" not in declares:
        return values
    return {key: value for key, value in values.items() if key.startswith("model.")} | {"recipe": name}

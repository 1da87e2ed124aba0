"""The ladders as data: the step files of conf/, their order and changes, and how a run deviates from the paper."""

import re
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import yaml

from roadmap.config.checks import check_model
from roadmap.config.conf import CONF, Data, choices, composed, instance, to_dict
from roadmap.config.identity import difference, flatten, under
from roadmap.config.schema import Config, Ladder, ModelConfig, StepConfig
from roadmap.data.datasets import dataset
from roadmap.errors import ConfigError, require_one_of

PAPER_STUDIES = {"resnet50": "imagenet", "resnet200": "imagenet_r200"}
"""Regimes of the paper and the studies in conf/ that train them as published."""
DECIDES_OUTCOME = (
    "recipe",
    "regime.name",
    *(f"data.{key}" for key in ("name", "img_size", "max_train", "max_test", "crop_pct", "on_error")),
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
    declares: frozenset[str]  # dotted keys that its file sets, or the group that it replaces
    regime: str
    ladder: Ladder

    @cached_property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Dotted key to (value before, value after) in the regime, as published; of a replaced group, its name."""
        if self.parent is None:
            return {}
        parent = find(self.parent, self.regime, self.ladder)
        before, after = (_values(published(each), self.declares) for each in (parent, self))
        return {key: (before[key], value) for key, value in after.items() if before[key] != value}


def regimes() -> list[str]:
    """Names of the sizes of network."""
    return choices("regime")


@cache
def steps(regime: str = "resnet50", ladder: Ladder = Ladder.network) -> list[Step]:
    """All steps of a ladder, by distance from its start, then by title.

    The main sequence is the longest chain of parents, and of chains of one length the one that ends in a step of the
    paper (any section but "own").

    Raises:
        ConfigError: an unknown regime, or a step file that contradicts itself.
    """
    require_one_of("regime", regime, regimes())
    start = _start()
    files = {name: _read(name, ladder, start.name) for name in choices(ladder.value)}
    parents = {start.name: None} | {name: content["step"]["parent"] for name, content in files.items()}
    chains = {name: _chain(name, parents, ladder) for name in parents}
    ends = {name: (len(chains[name]), files[name]["step"]["section"] != "own") for name in sorted(files)}
    main = chains[max(ends, key=ends.__getitem__, default=start.name)]

    def step(name: str) -> Step:
        content = files.get(name, {"step": vars(start)})
        own = {field.name: content["step"][field.name] for field in fields(StepConfig)}
        return Step(**own, main_sequence=name in main, declares=_declares(content), regime=regime, ladder=ladder)

    def place(each: Step) -> tuple[int, str]:
        return len(chains[each.name]), re.sub(r"\d+", lambda number: number[0].zfill(9), each.title)

    return sorted(map(step, parents), key=place)


def find(name: str, regime: str = "resnet50", ladder: Ladder = Ladder.network) -> Step:
    """The step of that name; a ConfigError for an unknown name or regime."""
    known = {step.name: step for step in steps(regime, ladder)}
    require_one_of(ladder.value, name, known)
    return known[name]


def overrides_of(step: Step) -> list[str]:
    """The override that adds a step; none for the start of the ladder."""
    return [f"+{step.ladder.value}={step.name}"] if step.parent else []


def published(step: Step) -> Data:
    """The configuration of a step as published, in the size of its regime, as plain data."""
    sized = [] if step.regime in PAPER_STUDIES else [f"regime={step.regime}"]
    return composed([f"study={PAPER_STUDIES.get(step.regime, 'imagenet')}", *sized, *overrides_of(step)])


def model_config(step: str | None = None, regime: str = "resnet50") -> ModelConfig:
    """The network of a step in a regime, as data; without a step, where the ladder starts."""
    model: ModelConfig = instance(ModelConfig, published(find(step or _start().name, regime))["model"])
    check_model(model)
    return model


def deviations(config: Config) -> Deviations:
    """Dotted key to (value of this run, value of the paper), for all that decides an outcome beside the network.

    A step of one's own is compared with the step it was made from, trained by the published recipe of its recipe's
    name. The recipe ladder, which the paper did not train, is compared with its study at the paper's size.
    """
    ladder = config.study.ladder
    known = {step.name: step for step in steps(ladder=ladder)}
    step = next(known[name] for name in (config.step.name, config.step.parent, *known) if name in known)
    paper, own_recipe = "imagenet_recipe", []
    if ladder is Ladder.network:
        paper = PAPER_STUDIES.get(config.regime.name, "imagenet")
        if config.step.name not in known and config.recipe.name in choices("recipe"):
            own_recipe = [f"recipe={config.recipe.name}"]
    found = difference(to_dict(config), composed([f"study={paper}", *overrides_of(step), *own_recipe]))
    library = f"timm {version('timm')}, Pillow {version('pillow')}"
    augmentation = "by batches" if dataset(config.data.name).in_memory else library
    found.pop("recipe.init_weights", None)  # its hash decides, not where it lies
    listed = {key: pair for key, pair in sorted(found.items()) if under(key, DECIDES_OUTCOME)}
    return listed | {"augmentation": (augmentation, "timm 0.3.2")}  # the version that the paper's code requires


@cache
def _start() -> StepConfig:
    """Where both ladders start: the `step` of conf/config.yaml."""
    return StepConfig(**_yaml("config")["step"])


def _read(name: str, ladder: Ladder, start: str) -> Data:
    """The content of a step's file, which names its parent twice: first in its defaults, and as step.parent."""
    file, content = f"conf/{ladder.value}/{name}.yaml", _yaml(f"{ladder.value}/{name}")
    needed, own = [field.name for field in fields(StepConfig)], content.get("step")
    if "defaults" not in content or not isinstance(own, dict) or not {*needed} <= own.keys():
        raise ConfigError(f"{file}: needs defaults and step with {', '.join(needed)}")
    listed = next((each for each in content["defaults"] if isinstance(each, str) and each != "_self_"), start)
    if (own["name"], own["parent"]) != (name, listed):
        raise ConfigError(f"{file}: step.name must be {name} and step.parent {listed}, as in its defaults")
    known = [start, *choices(ladder.value)]
    if listed not in known:
        raise ConfigError(f"{file}: step.parent={listed}: allowed is one of {' '.join(known)}")
    return content


def _yaml(name: str) -> Data:
    try:
        content = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"conf/{name}.yaml: {' '.join(str(error).split())[:200]}") from error
    return content if isinstance(content, dict) else {}


def _chain(name: str, parents: dict[str, str | None], ladder: Ladder) -> list[str]:
    """The steps from the start of a ladder to `name`."""
    chain = [name]
    while (parent := parents[chain[0]]) is not None:
        if parent in chain:
            raise ConfigError(f"conf/{ladder.value}/{name}.yaml: step.parent: a step cannot be its own ancestor")
        chain.insert(0, parent)
    return chain


def _declares(content: Data) -> frozenset[str]:
    overrides = [key for each in content.get("defaults", []) if isinstance(each, dict) for key in each]
    groups = [key.removeprefix("override /") for key in overrides]
    return frozenset([*groups, *flatten({part: content.get(part, {}) for part in ("model", "recipe")})])


def _values(config: Data, declares: frozenset[str]) -> Data:
    """Dotted keys of model and recipe; of a recipe that is replaced as a whole only its name."""
    values = flatten({part: config[part] for part in ("model", "recipe")})
    name = values.pop("recipe.name")
    if "recipe" not in declares:
        return values
    return {key: value for key, value in values.items() if key.startswith("model.")} | {"recipe": name}

"""A ladder as files: a folder of conf/ladder with ladder.yaml (titles, groups, reference) and one file per step."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from math import inf
from typing import Any

from roadmap.config.identity import flatten, under
from roadmap.config.schema import ModelConfig, RecipeConfig, StepConfig
from roadmap.config.values import Line, Name, conform
from roadmap.config.yaml_files import CONF, Data, check_options, choices, read_yaml
from roadmap.errors import ConfigError, require, require_one_of, require_plain_name

FOLDER, OPTIONS = "ladder", "ladder"  # conf/ladder/NAME/ladder.yaml
PARTS = {"model": ModelConfig, "recipe": RecipeConfig}
"""The parts of a configuration that a step may change."""


@dataclass(frozen=True)
class ReferenceRegime:
    """A size of network in published tables."""

    title: str
    start: str  # name of its first network
    seeds: int


@dataclass(frozen=True)
class Reference:
    """Published numbers that a ladder is compared with."""

    table: str  # a file of roadmap/reference
    regimes: dict[str, ReferenceRegime]  # the first one for regimes that are not published
    steps: dict[str, str] = field(default_factory=dict)
    """From a step to the row of the table; empty: rows have the names of steps."""


@dataclass(frozen=True)
class LadderOptions:
    """The content of ladder.yaml."""

    title: Line
    groups: dict[Name, Line]  # name to title, in the order of their colours
    studies: dict[str, str]
    """From a regime to the study that trains it as published, without a budget; the first one for other regimes."""
    reference: Reference | None = None
    changes: list[str] = field(default_factory=lambda: ["model"])
    """The parts whose options make a step of one's own on a command line: model, recipe or both."""


@dataclass(frozen=True)
class StepFile:
    """A step's file: what it changes of its parent."""

    path: str
    step: StepConfig
    groups: dict[str, str]  # files of conf/ that replace a part: {"recipe": "modern"}
    values: Data  # options of model and recipe

    @cached_property
    def declares(self) -> frozenset[str]:
        """Dotted keys that the file sets, and parts that it replaces."""
        return frozenset([*self.groups, *flatten(self.values)])


@dataclass(frozen=True)
class Ladder:
    """A ladder."""

    name: str
    options: LadderOptions
    files: dict[str, StepFile]  # by distance from the start, then by title

    @property
    def start(self) -> str:
        """The step without a parent."""
        return next(iter(self.files))

    def place(self, step: StepConfig) -> tuple[float, str]:
        """Where a step stands, with a file or without: by distance from the start, then by title."""
        known = len(self.chain(step.parent)) if step.parent in self.files else inf
        distance = known if step.parent else 0
        return distance, re.sub(r"\d+", lambda number: number[0].zfill(9), step.title)

    def study(self, regime: str) -> str:
        """The study that trains a regime as published."""
        return self.options.studies.get(regime, next(iter(self.options.studies.values())))

    def chain(self, name: str) -> list[StepFile]:
        """The files from the start to a step (ConfigError: there is no such step)."""
        if name not in self.files:
            for other in ladders():
                if name in choices(f"{FOLDER}/{other}"):
                    raise ConfigError(f"step={name}: it is a step of another ladder: add study.ladder={other}")
        require_one_of("step", name, self.files)
        file = self.files[name]
        return [*(self.chain(file.step.parent) if file.step.parent else []), file]

    def content(self, name: str) -> Data:
        """All that a step and those before it change, as one file for Hydra."""
        groups: dict[str, str] = {}
        values: Data = {}
        for file in self.chain(name):
            groups |= file.groups
            values = {part: values.get(part, {}) | file.values.get(part, {}) for part in PARTS}
        replaced: list[Any] = [{f"override /{group}": choice} for group, choice in groups.items()]
        return {"defaults": [*replaced, "_self_"], "step": asdict(self.files[name].step), **values}


def ladders() -> list[str]:
    """Names of the ladders: the folders of conf/ladder."""
    return sorted(path.parent.name for path in (CONF / FOLDER).glob(f"*/{OPTIONS}.yaml"))


@cache
def read_ladder(name: str) -> Ladder:
    """A ladder (ConfigError: there is none of that name, or a file of it is wrong)."""
    require_one_of("study.ladder", name, ladders())
    folder = f"{FOLDER}/{name}"
    options = _read_options(folder)
    files = {each: _read_step(folder, each) for each in choices(folder) if each != OPTIONS}
    starts = [each for each, file in files.items() if file.step.parent is None]
    if len(starts) != 1:
        found = " and ".join(f"{each}.yaml" for each in starts) or "none"
        raise ConfigError(f"conf/{folder}: step.parent: allowed is null in one file, the start's; found in {found}")
    files = {each: _grouped(_chain(each, files), options) for each in files}
    place = Ladder(name, options, files).place
    return Ladder(name, options, dict(sorted(files.items(), key=lambda item: place(item[1].step))))


def _read_options(folder: str) -> LadderOptions:
    file, raw = f"conf/{folder}/{OPTIONS}.yaml", read_yaml(CONF / folder / f"{OPTIONS}.yaml")
    where = f"{file}: {OPTIONS}"
    check_options(LadderOptions, raw, where)
    conform(raw, LadderOptions, where)
    for key in ("title", "groups", "studies"):
        require(bool(raw[key]), f"{where}.{key}", raw[key], "not empty")
    for part in raw.get("changes", []):
        require_one_of(f"{where}.changes", part, PARTS)
    for regime, study in raw["studies"].items():
        require_one_of(f"{where}.studies", regime, choices("regime"))
        require_one_of(f"{where}.studies.{regime}", study, choices("study"))
    if reference := raw.get("reference"):
        check_options(Reference, reference, f"{where}.reference")
        tables = sorted(path.stem for path in CONF.with_name("reference").glob("*.csv"))
        require_one_of(f"{where}.reference.table", reference["table"], tables)
        require(bool(reference["regimes"]), f"{where}.reference.regimes", {}, "not empty")
        for regime, each in reference["regimes"].items():
            check_options(ReferenceRegime, each, f"{where}.reference.regimes.{regime}")
            reference["regimes"][regime] = ReferenceRegime(**each)
        raw["reference"] = Reference(**reference)
    return LadderOptions(**raw)


def _read_step(folder: str, name: str) -> StepFile:
    """A step's file on its own; without a group it has that of its parent, which is not known here."""
    file, raw = f"conf/{folder}/{name}.yaml", read_yaml(CONF / folder / f"{name}.yaml")
    require_plain_name(f"{file}: step.name", name)
    for key in raw:
        require_one_of(f"{file}: key", key, ("step", "defaults", *PARTS))
    for part, kind in {"step": StepConfig, **PARTS}.items():
        check_options(kind, raw.get(part, {}), f"{file}: {part}")
    parents, replaced = _read_defaults(file, raw.get("defaults", []))
    own = {"name": name, "section": "own", "group": "", "title": name, **raw.get("step", {})}
    require(own["name"] == name, f"{file}: step.name", own["name"], f"{name}, as the file is called, or none")
    given = [own["parent"]] if "parent" in own else parents
    if not given:
        raise ConfigError(f"{file}: it needs its parent: step: {{parent: NAME}}, or null at the start of the ladder")
    fits = not parents or parents == given
    require(
        fits, f"{file}: step.parent", own.get("parent"), f"{' '.join(parents)}, as its defaults say, or leave out those"
    )
    values = {part: dict(raw[part]) for part in PARTS if part in raw}
    if "recipe" in values:  # results of one name of a recipe share the recipe
        values["recipe"].setdefault("name", name)
    return StepFile(file, StepConfig(**own | {"parent": given[0]}), replaced, values)


def _read_defaults(file: str, defaults: Any) -> tuple[list[str], dict[str, str]]:
    """The parents that Hydra's defaults of a step name, and the parts that they replace by a file of conf/."""
    parents, replaced = [], {}
    require(isinstance(defaults, list), f"{file}: defaults", defaults, "a list: [override /recipe: NAME]")
    for each in defaults:
        key, choice = next(iter(each.items())) if isinstance(each, dict) and len(each) == 1 else (each, None)
        part = str(key).removeprefix("override /")
        if choice is None and isinstance(each, str):
            parents += [each] if each != "_self_" else []
        else:
            allowed = " or ".join(f"override /{part}: NAME" for part in PARTS)
            require(part in PARTS and part != key, f"{file}: defaults", each, allowed)
            require_one_of(f"{file}: defaults: {key}", str(choice), choices(part))
            replaced[part] = str(choice)
    return parents, replaced


def _chain(name: str, files: Mapping[str, StepFile]) -> list[StepFile]:
    """A step's file and those of its ancestors, the start last (ConfigError: a parent that is none)."""
    chain = [files[name]]
    while (parent := chain[-1].step.parent) is not None:
        where = f"{chain[-1].path}: step.parent"
        require_one_of(where, parent, files)
        require(files[parent] not in chain, where, parent, "a step that does not build on this one")
        chain.append(files[parent])
    return chain


def _grouped(chain: Sequence[StepFile], options: LadderOptions) -> StepFile:
    """A step's file with its group, which is that of the nearest ancestor that has one (ConfigError: none has)."""
    group = next((file.step.group for file in chain if file.step.group), "")
    require_one_of(f"{chain[0].path}: step.group", group, options.groups)
    return replace(chain[0], step=replace(chain[0].step, group=group))


@contextmanager
def naming_file(files: Sequence[StepFile], given: Iterable[str]) -> Iterator[None]:
    """Add the file of a step to a refusal of an option that it sets, unless the option is given on the command line."""
    try:
        yield
    except ConfigError as error:
        option = re.match(r"(model|recipe)\.\w+", str(error))
        missing = re.search(r"Interpolation key '([\w.]+)' not found", str(error))
        for file in reversed(files):
            sets = option and under(option[0], list(file.declares)) and not under(option[0], list(given))
            if sets or (missing and f"${{{missing[1]}}}" in str(file.values)):
                raise ConfigError(f"{file.path}: {error}") from error
        raise

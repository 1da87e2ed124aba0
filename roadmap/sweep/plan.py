"""What a sweep is asked to do, as a list of frozen runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap import runs
from roadmap.config.checks import NAME, check
from roadmap.config.compose import compose
from roadmap.config.designs import base_of, changes_of, variant
from roadmap.config.overrides import STEP_WORDS, parse_overrides, study_of
from roadmap.config.schema import Config, Design, Ladder, StepConfig
from roadmap.config.steps import Step, steps
from roadmap.errors import ConfigError, did_you_mean, require
from roadmap.sweep.cluster import ClusterConfig, Scheduler, read_cluster
from roadmap.sweep.resources import runs_at_a_time

AUTO = "auto"
DEFAULT = "fashion_mnist"
"""The study of conf/config.yaml."""


class Only(Enum):
    """Which rungs: the adopted path, or the side rungs as well."""

    path = "path"
    all = "all"


@dataclass
class Options:
    """What a sweep takes besides the options of a run."""

    seeds: int | None = None
    """Seeds 0 to seeds - 1; unset: as many as the study says."""
    jobs: int | str = AUTO
    """Runs at a time; auto: as many as the threads of one fit into the cores, or cluster.array_parallelism."""
    steps: list[str] = field(default_factory=list)
    """These rungs only; empty: all of `only`."""
    only: Only = Only.all
    design: Design = Design.path
    """Whose networks: the rungs of the path, its end without each change, or its start with each alone."""
    cluster: str = "local"
    """A file of conf/cluster; words such as cluster.partition=gpu change it."""


@dataclass(frozen=True)
class Run:
    """One (step, seed) of a sweep."""

    step: str
    seed: int
    directory: Path


@dataclass
class Plan:
    """All runs of a sweep, the first seed of every rung before the second of any."""

    study: Path
    """The directory of the study."""
    rungs: list[str]
    seeds: int
    jobs: int
    compose: Callable[[], list[Config]]
    """The configurations of the rungs: seconds of work, which nobody does who only wants to know how the runs stand."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    skipped: dict[str, str] = field(default_factory=dict)
    """Variants of a design that cannot be, and why."""

    @property
    def runs(self) -> list[Run]:
        """The runs in the order they are started."""
        return [
            Run(name, seed, runs.directory_of(self.study, name, seed))
            for seed in range(self.seeds)
            for name in self.rungs
        ]

    @cached_property
    def configs(self) -> list[Config]:
        """What each run is.

        Raises:
            ConfigError: a rung cannot be.
        """
        composed = self.compose()
        return [replace(config, seed=seed) for seed in range(self.seeds) for config in composed]

    def freeze(self, data: dict[str, Any] | None = None) -> None:
        """Write every run's configuration, after seeing that none would be mixed with another.

        Raises:
            ConfigError: a directory holds another run, or one of images with another fingerprint than `data`.
        """
        for config in self.configs:
            runs.refuse_mixing(config, data)
        for config in self.configs:
            runs.freeze(config)


def make_plan(words: list[str]) -> Plan:
    """The plan that words such as `study=smoke seeds=3 jobs=2 steps=[gelu,layer_norm]` ask for.

    Raises:
        ConfigError: one or two lines that name the key and the allowed values.
    """
    options, of_cluster, overrides = _split(words)
    cluster = read_cluster(options.cluster, of_cluster)
    first = compose(overrides)
    ladder, skipped = first.study.ladder, dict[str, str]()
    rungs = steps(first.regime.name, ladder)
    if options.design is Design.path:
        picked = chosen(rungs, options)
        composing: Callable[[], list[Config]] = partial(compose_rungs, picked, overrides, ladder)
        names = [first.step.name if "step.name" in parse_overrides(overrides) else rung.name for rung in picked]
    else:
        composed, skipped = compose_design(options, rungs, overrides, first)
        first, names, composing = composed[0], [config.step.name for config in composed], lambda: composed
    jobs = cluster.array_parallelism
    if options.jobs != AUTO:
        jobs = int(options.jobs)
    elif cluster.scheduler is Scheduler.local:
        jobs = runs_at_a_time(first.training)
    seeds = options.seeds or first.study.seeds
    return Plan(runs.study_directory(first), names, seeds, jobs, composing, cluster, skipped)


def study_name(words: list[str]) -> str:
    """The name of the study that the words of a sweep ask for, of which `study=` may be all; nothing is composed.

    Raises:
        ConfigError: words that cannot be read.
    """
    options, _, overrides = _split([word for word in words if not word.startswith("study=")])
    study = next((word.removeprefix("study=") for word in reversed(words) if word.startswith("study=")), DEFAULT)
    require(bool(NAME.fullmatch(study)), "study", study, "letters, digits and _.,=+-")
    return _of_design(study_of(overrides, study=study), options.design)


def _of_design(study: str, design: Design) -> str:
    return study if design is Design.path else f"{study},design={design.value}"


def chosen(rungs: list[Step], options: Options) -> list[Step]:
    """Those of some rungs that the options name.

    Raises:
        ConfigError: a name that is none of theirs.
    """
    names = [rung.name for rung in rungs]
    for name in options.steps:
        require(name in names, "step", name, f"one of {' '.join(names)}{did_you_mean(name, names)}")
    if options.steps:
        return [rung for rung in rungs if rung.name in options.steps]
    return [rung for rung in rungs if rung.main_sequence or options.only is Only.all]


def compose_rungs(rungs: list[Step], overrides: list[str], ladder: Ladder) -> list[Config]:
    """The configurations of some rungs."""
    return [compose_rung(rung, overrides, ladder) for rung in rungs]


def compose_rung(rung: Step, overrides: list[str], ladder: Ladder) -> Config:
    """The configuration of a rung."""
    return compose([*overrides, f"+{ladder.value}={rung.name}"] if rung.parent else overrides)


def compose_design(
    options: Options, rungs: list[Step], overrides: list[str], first: Config
) -> tuple[list[Config], dict[str, str]]:
    """The configurations of a design, what its variants are compared with first; and the variants that cannot be.

    Raises:
        ConfigError: the study is of the recipe's ladder, or the words set the recipe as a whole.
    """
    design, ladder = options.design, first.study.ladder
    require(ladder is Ladder.network, "design", design.value, f"path in a study with study.ladder={ladder.name}")
    given = parse_overrides(overrides) if overrides else {}
    require("recipe" not in given, "recipe", given.get("recipe"), f"not in design={design.value}, which sets it")
    base, changes = base_of(design, rungs), chosen(changes_of(design, rungs), options)
    rung_of = {rung.name: rung for rung in rungs}
    models = cache(lambda name: compose_rung(rung_of[name], overrides, ladder).model)
    trained = cache(lambda recipe: compose_rung(base, [f"recipe={recipe}", *overrides], ladder))
    study = replace(first.study, name=_of_design(first.study.name, design), design=design)
    composed, skipped = [replace(compose_rung(base, overrides, ladder), study=study)], {}
    for each in (variant(design, step, rungs, models) for step in changes):
        if each.model is None:
            skipped[each.name] = each.reason
            continue
        identity = StepConfig(each.name, base.name, each.step.section, each.step.group, each.title)
        composed.append(replace(trained(each.recipe), study=study, step=identity, model=each.model))
        check(composed[-1])
    return composed, skipped


def _split(words: list[str]) -> tuple[Options, list[str], list[str]]:
    """Separate the sweep's own words, those of its cluster, and those of a run."""
    own: list[str] = []
    of_cluster: list[str] = []
    overrides: list[str] = []
    for word in words:
        key = next(iter(parse_overrides([word])))
        require(key not in ("seed", *STEP_WORDS), key, word, "seeds=N and steps=[NAME,...] in a sweep")
        kind = own if key in Options.__dataclass_fields__ else of_cluster if key.startswith("cluster.") else overrides
        of_one = key == "steps" and "[" not in word
        kind.append(word.replace("=", "=[") + "]" if of_one else word)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_dotlist(own))
        options = cast(Options, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(own)}: {str(error).splitlines()[0]}") from error
    seeds, jobs = options.seeds, options.jobs
    require(seeds is None or seeds > 0, "seeds", seeds, "more than 0")
    require(jobs == AUTO or (isinstance(jobs, int) and jobs > 0), "jobs", jobs, "auto, or a number more than 0")
    return options, of_cluster, overrides

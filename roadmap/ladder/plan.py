"""What a sweep is asked to do, as a list of frozen runs."""

import os
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap import runs
from roadmap.checks import check, require
from roadmap.config import STEP_WORDS, compose, parse_overrides
from roadmap.designs import base_of, changes_of, variant
from roadmap.ladder.cluster import ClusterConfig, Scheduler, read_cluster
from roadmap.schema import Config, ConfigError, Design, Road, StepConfig
from roadmap.steps import Step, steps


class Only(Enum):
    """Which rungs: the adopted path, or the side rungs as well."""

    path = "path"
    all = "all"


@dataclass
class Options:
    """What a sweep takes besides the options of a run."""

    seeds: int | None = None
    """Seeds 0 to seeds - 1; unset: as many as the study says."""
    jobs: int | None = None
    """Runs at a time; unset: as many as the threads of one fit into the cores, or cluster.array_parallelism."""
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


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, the first seed of every rung before the second of any."""

    configs: list[Config]
    jobs: int
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    skipped: dict[str, str] = field(default_factory=dict)
    """Variants of a design that cannot be, and why."""

    @property
    def study(self) -> Path:
        """The directory of the study."""
        return runs.study_directory(self.configs[0])

    @property
    def runs(self) -> list[Run]:
        """The runs in the order they are started."""
        return [Run(c.step.name, c.seed, runs.run_directory(c)) for c in self.configs]

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
    rungs = steps(first.regime.name, first.study.road)
    skipped: dict[str, str] = {}
    if options.design is Design.path:
        composed = [compose_rung(rung, overrides, first.study.road) for rung in chosen(rungs, options)]
    else:
        composed, skipped = compose_design(options, rungs, overrides, first)
    seeds = range(options.seeds or first.study.seeds)
    jobs = options.jobs or (
        cluster.array_parallelism if cluster.scheduler is Scheduler.slurm else _fitting(first.training.threads)
    )
    return Plan([replace(config, seed=seed) for seed in seeds for config in composed], jobs, cluster, skipped)


def chosen(rungs: list[Step], options: Options) -> list[Step]:
    """Those of some rungs that the options name.

    Raises:
        ConfigError: a name that is none of theirs.
    """
    names = [rung.name for rung in rungs]
    for name in options.steps:
        require(name in names, "step", name, f"one of {' '.join(names)}")
    if options.steps:
        return [rung for rung in rungs if rung.name in options.steps]
    return [rung for rung in rungs if rung.on_path or options.only is Only.all]


def compose_rung(rung: Step, overrides: list[str], road: Road) -> Config:
    """The configuration of a rung."""
    return compose([*overrides, f"+{road.value}={rung.name}"] if rung.parent else overrides)


def compose_design(
    options: Options, rungs: list[Step], overrides: list[str], first: Config
) -> tuple[list[Config], dict[str, str]]:
    """The configurations of a design, what its variants are compared with first; and the variants that cannot be.

    Raises:
        ConfigError: the study is of the recipe's road, or the words set the recipe as a whole.
    """
    design, road = options.design, first.study.road
    require(road is Road.network, "design", design.value, f"path in a study with study.road={road.name}")
    given = parse_overrides(overrides) if overrides else {}
    require("recipe" not in given, "recipe", given.get("recipe"), f"not in design={design.value}, which sets it")
    base, changes = base_of(design, rungs), chosen(changes_of(design, rungs), options)
    rung_of = {rung.name: rung for rung in rungs}
    models = cache(lambda name: compose_rung(rung_of[name], overrides, road).model)
    trained = cache(lambda recipe: compose_rung(base, [f"recipe={recipe}", *overrides], road))
    study = replace(first.study, name=f"{first.study.name},design={design.value}", design=design)
    composed, skipped = [replace(compose_rung(base, overrides, road), study=study)], {}
    for each in (variant(design, step, rungs, models) for step in changes):
        if each.model is None:
            skipped[each.name] = each.reason
            continue
        identity = StepConfig(each.name, base.name, each.step.section, each.step.group, each.title)
        composed.append(replace(trained(each.recipe), study=study, step=identity, model=each.model))
        check(composed[-1])
    return composed, skipped


def _fitting(threads: int | None) -> int:
    """How many processes of so many threads fit into the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (threads or cores))


def _split(words: list[str]) -> tuple[Options, list[str], list[str]]:
    """Separate the sweep's own words, those of its cluster, and those of a run."""
    own: list[str] = []
    of_cluster: list[str] = []
    overrides: list[str] = []
    for word in words:
        key = next(iter(parse_overrides([word])))
        require(key not in ("seed", *STEP_WORDS), key, word, "seeds=N and steps=[NAME,...] in a sweep")
        kind = own if key in Options.__dataclass_fields__ else of_cluster if key.startswith("cluster.") else overrides
        kind.append(word)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_dotlist(own))
        options = cast(Options, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(own)}: {str(error).splitlines()[0]}") from error
    for key in ("seeds", "jobs"):
        value = getattr(options, key)
        require(value is None or value > 0, key, value, "more than 0")
    return options, of_cluster, overrides

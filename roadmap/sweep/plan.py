"""What a sweep is asked to do, as a list of frozen runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from roadmap import runs
from roadmap.cli import sweep_words
from roadmap.config.checks import check
from roadmap.config.compose import compose
from roadmap.config.designs import base_of, changes_of, variant
from roadmap.config.overrides import parse_overrides, study_name
from roadmap.config.schema import Config, Design, Ladder, Only, StepConfig, SweepOptions
from roadmap.config.steps import Step, steps
from roadmap.errors import did_you_mean, require
from roadmap.sweep.cluster import ClusterConfig, Scheduler, read_cluster
from roadmap.sweep.resources import runs_at_a_time


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
    options, of_cluster, overrides = sweep_words(words)
    cluster = read_cluster(options.cluster, of_cluster)
    first = compose(overrides)
    ladder, skipped = first.study.ladder, dict[str, str]()
    rungs = steps(first.regime.name, ladder)
    if options.design is Design.ladder:
        picked = chosen(rungs, options)
        composing: Callable[[], list[Config]] = partial(compose_rungs, picked, overrides, ladder)
        names = [first.step.name if "step.name" in parse_overrides(overrides) else rung.name for rung in picked]
    else:
        composed, skipped = compose_design(options, rungs, overrides, first)
        first, names, composing = composed[0], [config.step.name for config in composed], lambda: composed
    jobs = cluster.array_parallelism
    if options.jobs != "auto":
        jobs = int(options.jobs)
    elif cluster.scheduler is Scheduler.local:
        jobs = runs_at_a_time(first.training)
    seeds = options.seeds or first.study.seeds
    return Plan(runs.study_directory(first), names, seeds, jobs, composing, cluster, skipped)


def chosen(rungs: list[Step], options: SweepOptions) -> list[Step]:
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
    options: SweepOptions, rungs: list[Step], overrides: list[str], first: Config
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
    study = replace(first.study, name=study_name(first.study.name, {}, design), design=design)
    composed, skipped = [replace(compose_rung(base, overrides, ladder), study=study)], {}
    for each in (variant(design, step, rungs, models) for step in changes):
        if each.model is None:
            skipped[each.name] = each.reason
            continue
        identity = StepConfig(each.name, base.name, each.step.section, each.step.group, each.title)
        composed.append(replace(trained(each.recipe), study=study, step=identity, model=each.model))
        check(composed[-1])
    return composed, skipped

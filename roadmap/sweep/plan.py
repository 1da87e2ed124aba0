"""The plan of a sweep: its runs in order, and their configurations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from roadmap import runs
from roadmap.cli import sweep_words
from roadmap.config.capacity import machine_memory, refuse_oversized
from roadmap.config.checks import check
from roadmap.config.compose import compose, load
from roadmap.config.conf import ladder_of
from roadmap.config.designs import base_of, changes_of, variant
from roadmap.config.identity import under
from roadmap.config.length import refuse_uneven
from roadmap.config.overrides import parse_overrides, study_name
from roadmap.config.schema import Config, Design, Device, Only, StepConfig, SweepOptions
from roadmap.config.step_files import read_ladder
from roadmap.config.steps import Step, steps
from roadmap.errors import PLAIN_NAME, require, require_one_of
from roadmap.files import write_atomic
from roadmap.sweep.cluster import ClusterConfig, Scheduler, read_cluster
from roadmap.sweep.resources import gpus, parallel_runs


@dataclass(frozen=True)
class Run:
    """One step and seed of a sweep."""

    step: str
    seed: int
    directory: Path


@dataclass
class Plan:
    """All runs of a sweep: the first seed of every step before the second seed of any."""

    study: Path  # the directory of the study
    steps: list[str]
    seeds: int
    jobs: int  # runs at a time
    compose: Callable[[], list[Config]]
    """Compose the configuration of each step; takes seconds, so `status` does without."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    skipped: dict[str, str] = field(default_factory=dict)  # variants of a design that are not possible, and why

    @property
    def runs(self) -> list[Run]:
        """The runs in the order in which they start."""
        pairs = [(step, seed) for seed in range(self.seeds) for step in self.steps]
        return [Run(step, seed, self.study / step / f"seed-{seed}") for step, seed in pairs]

    @cached_property
    def configs(self) -> list[Config]:
        """Configuration of each run (ConfigError: a step refuses the options)."""
        composed = self.compose()
        return [replace(config, seed=seed) for seed in range(self.seeds) for config in composed]

    def refuse_impossible(self) -> None:
        """Refuse runs that their processes cannot share, or that cannot fit into this machine's memory (ConfigError).

        On GPUs and clusters, the runs themselves see to the memory.
        """
        first, processes = self.configs[: len(self.steps)], min(self.jobs, len(self.runs))
        for run, config in zip(self.runs, self.configs, strict=True):
            if not runs.finished(run.directory):
                refuse_uneven(config, self.cluster.processes)
        here = self.cluster.scheduler is Scheduler.local
        if here and (first[0].training.device is Device.cpu or not gpus()):
            for config in first:
                refuse_oversized(config, machine_memory(), processes=processes)

    def freeze(self, data: dict[str, Any] | None = None) -> None:
        """Write the configuration of every run, or of none if `runs.refuse_other_run` refuses one (ConfigError)."""
        for config in self.configs:
            runs.refuse_other_run(config, data)
        for config in self.configs:
            runs.freeze(config)

    def reuse(self, data: dict[str, Any] | None = None) -> int:
        """Take frozen runs with a published result as finished; returns their number (ConfigError: see `published`)."""
        found = [(config, path) for config in self.configs if (path := runs.published(config, data))]
        for config, path in found:
            write_atomic(runs.run_directory(config) / runs.RESULT, path.read_bytes())
        return len(found)


def make_plan(words: Sequence[str]) -> Plan:
    """The plan for words such as `study=smoke seeds=3 jobs=2 steps=[gelu,layer_norm]` (ConfigError: bad words)."""
    options, of_cluster, overrides = sweep_words(words)
    require(not options.tune, "tune", options.tune, "in scripts/sweep.py, and where a study is named")
    cluster = read_cluster(options.cluster, of_cluster)
    of_step, rest = split_own(overrides)
    first, skipped = compose(rest), dict[str, str]()
    composed: Callable[[], list[Config]]
    if options.design is Design.ladder:
        own = own_steps(options, first, [*rest, *of_step] if of_step else [])
        names = ordered(options, first, own, only_own=bool(of_step))
        composed = lambda: [own[name] if name in own else compose([*rest, f"+step={name}"]) for name in names]  # noqa: E731
    else:
        require(not of_step, "design", options.design.value, "ladder for a step of your own")
        ladder = steps(first.regime.name, first.study.ladder)
        variants, skipped = compose_design(options, overrides, ladder=ladder, first=first)
        first, names, composed = variants[0], [config.step.name for config in variants], lambda: variants
    slurm = cluster.scheduler is Scheduler.slurm
    auto = cluster.array_parallelism if slurm else parallel_runs(first.training)
    jobs, seeds = auto if options.jobs == "auto" else int(options.jobs), options.seeds or first.study.seeds
    return Plan(runs.run_directory(first).parents[1], names, seeds, jobs, composed, cluster, skipped)


def split_own(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Overrides that make a step of one's own (none without step.name), and those that all runs share."""
    if "step.name" not in parse_overrides(overrides):
        return [], overrides
    parts = ("step", *read_ladder(ladder_of(overrides)).options.changes)
    own = [word for word in overrides if under(word.partition("=")[0].lstrip("+"), parts)]
    return own, [word for word in overrides if word not in own]


def own_steps(options: SweepOptions, first: Config, overrides: list[str]) -> dict[str, Config]:
    """The configurations of steps without a file: that of the overrides, if any, and those with runs in the study."""
    study, files = runs.run_directory(first).parents[1], read_ladder(first.study.ladder).files
    found = {}
    for name in {*options.steps} - {*files}:
        kept = sorted((study / name).glob(f"seed-*/{runs.CONFIG}")) if PLAIN_NAME.fullmatch(name) else []
        if kept:
            frozen = load(kept[0])
            found[name] = replace(first, step=frozen.step, model=frozen.model, recipe=frozen.recipe)
    if overrides:
        config = compose(overrides)
        found[config.step.name] = config
    return found


def ordered(options: SweepOptions, first: Config, own: Mapping[str, Config], *, only_own: bool) -> list[str]:
    """The names of the steps that the options ask for, in the order of the table (ConfigError: an unknown step)."""
    ladder = read_ladder(first.study.ladder)
    known = {name: file.step for name, file in ladder.files.items()} | {n: config.step for n, config in own.items()}
    for name in options.steps:
        require_one_of("step", name, known)
    asked = options.steps or [*own]
    if only_own:
        require(own.keys() <= {*asked}, "steps", ",".join(asked), f"with {' '.join(own)}, the step of your own")
    elif not asked:
        asked = [step.name for step in select(steps(first.regime.name, ladder.name), options)]
    return sorted(dict.fromkeys(asked), key=lambda name: ladder.place(known[name]))


def select(ladder: Sequence[Step], options: SweepOptions) -> list[Step]:
    """The steps of a ladder that the options ask for (ConfigError: an unknown step)."""
    for name in options.steps:
        require_one_of("step", name, [step.name for step in ladder])
    if options.steps:
        return [step for step in ladder if step.name in options.steps]
    return [step for step in ladder if step.main_sequence or options.only is Only.all]


def compose_design(
    options: SweepOptions, overrides: list[str], *, ladder: list[Step], first: Config
) -> tuple[list[Config], dict[str, str]]:
    """The configurations of a design, its baseline first; and the variants that are not possible, with the reason."""
    design, parts = options.design, read_ladder(first.study.ladder).options.changes
    allowed = f"ladder in a study with study.ladder={first.study.ladder}, whose steps change the recipe"
    require("recipe" not in parts, "design", design.value, allowed)
    given = parse_overrides(overrides)
    require("recipe" not in given, "recipe", given.get("recipe"), f"not in design={design.value}, which sets it")
    base, changes = base_of(design, ladder), select(changes_of(design, ladder), options)
    by_name = {step.name: step for step in ladder}
    models = cache(lambda name: _compose(by_name[name], overrides).model)
    with_recipe = cache(lambda recipe: _compose(base, [f"recipe={recipe}", *overrides]))
    study = replace(first.study, name=study_name(first.study.name, {}, design=design), design=design)
    configs, skipped = [replace(_compose(base, overrides), study=study)], {}
    for each in (variant(design, step, ladder, models) for step in changes):
        if each.model is None:
            skipped[each.name] = each.reason
            continue
        step = StepConfig(each.name, base.name, each.step.section, each.step.group, each.title)
        configs.append(replace(with_recipe(each.recipe), study=study, step=step, model=each.model))
        check(configs[-1])
    return configs, skipped


def _compose(step: Step, overrides: list[str]) -> Config:
    return compose([*overrides, f"+step={step.name}"])

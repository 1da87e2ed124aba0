"""The three sweeps of a tuned study: the steps untuned, each at every setting on held-out images, each at its best.

The best setting of a step has the highest mean top-1 on training images that are held out. The test images have no part
in the choice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from roadmap import runs
from roadmap.cli import sweep_words
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import flatten
from roadmap.config.overrides import parse_overrides, study_name
from roadmap.config.schema import Config, Design
from roadmap.config.tuning import HOLDOUT, Tuning, parse_tuning
from roadmap.errors import NonFiniteLoss, require
from roadmap.sweep.plan import Plan, make_plan, split_own

DIVERGED, UNFINISHED = "diverged", "not finished"
OWN = ("tune", "data.holdout")  # words that do not concern the untuned study


@dataclass(frozen=True)
class Stages:
    """The sweeps in order. The configurations of the last one depend on `choose`."""

    tuning: Tuning
    holdout: float
    untuned: Plan
    held_out: Plan  # its steps are those of the study at every setting
    tuned: Plan


def make_stages(words: Sequence[str]) -> Stages:
    """The sweeps for words with `tune=...` (ConfigError: bad words)."""
    options, _, overrides = sweep_words(words)
    tuning, given, first = parse_tuning(options.tune), parse_overrides(overrides), compose(split_own(overrides)[1])
    require(options.design is Design.ladder, "design", options.design.value, "ladder with tune=...")
    require(tuning.key not in given, tuning.key, given.get(tuning.key), "not together with tune=..., which sets it")
    plain = [word for word in words if word.partition("=")[0] not in OWN]
    untuned, one_step = make_plan(plain), [word for word in plain if not word.startswith("steps=")]
    name, holdout = study_name(first.study.name, {}, tune=options.tune), first.data.holdout or HOLDOUT
    directory = untuned.study.parent

    def composed(step: str, study: str, value: Any, *more: str) -> Config:
        (config, *_) = make_plan([*one_step, f"steps=[{step}]", f"{tuning.key}={value}", *more]).configs
        return replace(config, study=replace(config.study, name=study, tune=options.tune))

    def held_out() -> list[Config]:
        configs = []
        for own in untuned.configs[: len(untuned.steps)]:
            step, its_value = own.step, flatten(to_dict(own))[tuning.key]
            for setting in tuning.settings:
                value, label = tuning.value(setting, its_value), _label(step.name, tuning, setting)
                config = composed(step.name, f"{name},held_out", value, f"data.holdout={holdout}")
                made = replace(step, name=label, parent=step.name, title=f"{step.title}, {setting}")
                configs.append(replace(config, step=made))
        return configs

    def tuned() -> list[Config]:
        chosen = (runs.read_json(directory / name / runs.TUNING) or {})["steps"]
        return [composed(step, name, chosen[step]["value"]) for step in untuned.steps]

    labels = [_label(step, tuning, setting) for step in untuned.steps for setting in tuning.settings]
    at_settings = replace(untuned, study=directory / f"{name},held_out", steps=labels, compose=held_out)
    return Stages(tuning, holdout, untuned, at_settings, replace(untuned, study=directory / name, compose=tuned))


def choose(stages: Stages) -> tuple[list[str], bool]:
    """Choose the best setting of every step and record it in the directory of the tuned study.

    Returns a line per step, and whether every step has a choice: all runs are finished, but for those whose loss
    diverged, which are not chosen. Otherwise nothing is recorded.
    """
    lines, chosen = [], {}
    for step in stages.untuned.steps:
        top1 = {setting: _top1(stages, _label(step, stages.tuning, setting)) for setting in stages.tuning.settings}
        means = {setting: fmean(values) for setting, values in top1.items() if isinstance(values, list)}
        texts = [f"{setting} {f'{means[setting]:.2f} %' if setting in means else top1[setting]}" for setting in top1]
        best = max(means, key=means.__getitem__, default="none") if UNFINISHED not in top1.values() else "none"
        lines.append(f"{step}: {stages.tuning.key} {', '.join(texts)} on held-out images, chosen: {best}")
        if best in means:
            first, *_ = _results(stages.held_out, _label(step, stages.tuning, best))
            value = flatten(first["config"])[stages.tuning.key]
            untuned = [result["metrics"]["top1"] for result in _results(stages.untuned, step)]
            chosen[step] = {"setting": best, "value": value, "held_out": top1, "untuned": untuned}
    whole = len(chosen) == len(stages.untuned.steps)
    if whole:
        stages.tuned.study.mkdir(parents=True, exist_ok=True)
        about = {"option": stages.tuning.key, "holdout": stages.holdout, "untuned": stages.untuned.study.name}
        runs.write_json(stages.tuned.study / runs.TUNING, about | {"steps": chosen})
    return lines, whole


def _top1(stages: Stages, label: str) -> list[float] | str:
    """The top-1 on held-out images of each seed at a setting, or why it cannot be chosen."""
    found = [result["metrics"]["top1"] for result in _results(stages.held_out, label)]
    if len(found) == stages.held_out.seeds:
        return found
    failures = [runs.read_json(each.directory / runs.FAILURE) for each in stages.held_out.runs if each.step == label]
    errors = [str(failure["error"]) for failure in failures if failure]
    return DIVERGED if any(error.startswith(NonFiniteLoss.__name__) for error in errors) else UNFINISHED


def _results(plan: Plan, step: str) -> list[dict[str, Any]]:
    """The results of a step's runs."""
    directories = [run.directory for run in plan.runs if run.step == step]
    return [runs.read_result(each / runs.RESULT) for each in directories if runs.finished(each)]


def _label(step: str, tuning: Tuning, setting: str) -> str:
    """The name of a step at a setting."""
    return re.sub(r"[^\w.,=+-]", "_", f"{step},{tuning.key}={setting}")

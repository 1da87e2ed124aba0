"""The data of a report: the rows of the study's table, and details from the result files and curves kept beside it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os.path import relpath
from pathlib import Path
from typing import Any

from roadmap.cli import duration
from roadmap.config.acting import acts
from roadmap.config.conf import instance
from roadmap.config.designs import variants
from roadmap.config.identity import difference, flatten
from roadmap.config.schema import Design, ModelConfig
from roadmap.config.step_files import read_ladder
from roadmap.config.steps import model_config, steps
from roadmap.config.yaml_files import to_yaml
from roadmap.errors import ConfigError, Report, left_out
from roadmap.numbers import SMALL_COUNTS, column, headed, written
from roadmap.report.classes import classes_of
from roadmap.report.drawings import drawings
from roadmap.report.figure import title_of
from roadmap.report.style import group, groups
from roadmap.results import collate, curves, notes, sources, tuned
from roadmap.results.markup import Column, change_text, columns, compared, p_value, top1_text
from roadmap.results.paper import AGREEMENT, ENDS, deviations
from roadmap.results.statistics import LEVEL
from roadmap.results.table import Row, read_csv, table_of

Data = dict[str, Any]
Runs = Mapping[str | None, Sequence[Data]]  # the results of each step
Changes = Mapping[str, tuple[Any, Any]]  # dotted key to its value before and after
Change = tuple[str, str, str]  # the same as text
COSTS = ("params", "gflops", "images_per_second", "seconds")
SIGNIFICANCE = {  # classes of changes: title and explanation
    "significant": ("Significant", "p < 0.05 with Holm's correction for all changes of the ladder."),
    "uncorrected": ("Significant before correction only", "By chance, so is 1 in 20 changes without any effect."),
    "insignificant": (
        "Not significant",
        "Differences between seeds can explain these changes; they may still be real.",
    ),
    "single": ("No interval", "It needs at least two seeds of the step and of its parent."),
    "blank": ("Not run yet", "The step or its parent has no finished run."),
}

GLOSSARY = {  # columns of the table, for those who meet the words for the first time
    "n": "seeds: how often the step was trained, each time from other random numbers",
    "top1": "share of test images whose class is the network's first guess: mean over seeds ± standard deviation",
    "change": "mean top-1 of the step minus that of its parent, in percentage points, with Welch's 95 % interval",
    "p_holm": "probability of such a change if the step had no effect, corrected for the number of changes",
    "significant": "whether that probability is below 0.05",
    "params": "parameters: numbers that training sets",
    "gflops": "multiply-adds per image in a forward pass",
    "images_per_second": "training images per second, mean over seeds",
    "seconds": "wall time of a run, mean over seeds",
    "paper_top1": "the paper's top-1 of this step, on ImageNet",
    "paper_change": "the paper's change of this step to its parent",
}
FILES = ("ladder.csv", "ladder.md", "ladder.tex", "ladder.png", "ladder.svg", "runs.csv", "curves.csv")


def gather(study: str, results_dir: Path = Path("results"), bad: Report | None = None) -> Data:
    """The report of a study as data for JSON (ConfigError: it has no table yet); `left_out`: bad files beside it."""
    path = table_of(study, results_dir)
    table, points = read_csv(path), list[curves.Point]()
    results = [*sources.joined(study, sources.directories(study, results_dir), bad=bad).values()]
    with left_out(bad):
        points = curves.read(path.with_name(curves.CURVES))
    if not results:
        raise ConfigError(f"study={study}: no result beside {path}; first run: python scripts/collate.py study={study}")
    first, shown, facts = table[0], columns(table), collate.facts(table, results)
    if record := tuned.recorded([path.with_name("runs")]):
        facts["Tuned"] = tuned.note(record)
    agreement = next((key for key in facts if key.startswith((AGREEMENT, ENDS))), None)
    return {
        "study": study,
        "title": title_of(first),
        "note": collate.COMPARED.get(first.design),
        "ladder": first.ladder,
        "regime": first.regime,
        "data": first.data,
        "test_images": results[0]["test_images"],
        "runs": len(results),
        "time": duration(sum(result["wall_seconds"] for result in results)),
        "finished_at": max(result["finished_at"] for result in results),
        "columns": [(each.key, each.heading) for each in shown],
        "steps": _records(table, results, shown),
        "curves": points,
        "compared": compared(table),
        "plumbing": "" if first.compared else notes.PLUMBING,
        "agreement": [agreement, facts.pop(agreement)] if agreement else None,
        "deviations": [list(line) for line in deviations(results)],
        "facts": facts,
        "configs": {each["step"]: to_yaml(each["config"]) for each in reversed(results)},  # of the first seed
        "glossary": {each.key: GLOSSARY[each.key] for each in shown if each.key in GLOSSARY},
        "files": {
            name: relpath(path.with_name(name), results_dir / study) for name in FILES if path.with_name(name).exists()
        },
    }


def network(step: str | None, regime: str, ladder: str, runs: Runs) -> ModelConfig | None:
    """The network of a step as its runs have it, else as its file or design does; None without any."""
    if step in runs:
        model: ModelConfig = instance(ModelConfig, runs[step][0]["config"]["model"])
        return model
    if step in read_ladder(ladder).files:
        return model_config(step, regime, ladder)
    designs = [
        variant for design in Design if design is not Design.ladder for variant in variants(design, regime, ladder)
    ]
    return next((variant.model for variant in designs if variant.name == step), None)


def changes_of(row: Row, runs: Runs) -> Changes:
    """What a step changes relative to its parent: as its file says, else as its runs or its network do."""
    for step in steps(row.regime, row.ladder):
        if (step.name, step.parent) == (row.step, row.parent):
            return step.changes
    if row.step in runs:
        return changes_in_runs(row, runs)
    before, after = (network(name, row.regime, row.ladder, runs) for name in (row.parent, row.step))
    return difference({"model": asdict(before)}, {"model": asdict(after)}) if before and after else {}


def changes_in_runs(row: Row, runs: Runs) -> Changes:
    """The same from the configurations of the runs, which the study's budget affects; empty without runs of both."""
    if not {row.parent, row.step} <= runs.keys():
        return {}
    parent, own = (runs[name][0]["config"] for name in (row.parent, row.step))
    flat = flatten(parent), flatten(own)
    found = {k: pair for k, pair in difference(parent, own).items() if k.startswith(("model.", "recipe."))}
    return {k: pair for k, pair in found.items() if any(acts(k, config) for config in flat)}


def _records(table: Sequence[Row], results: Sequence[Data], shown: Sequence[Column]) -> list[Data]:
    """Each row with its changes, drawings, costs by stage, and texts."""
    runs: dict[str | None, list[Data]] = defaultdict(list)
    for result in results:
        runs[result["step"]].append(result)
    counts = Counter(row.title for row in table)
    titles = {row.step: row.title if counts[row.title] == 1 else f"{row.title} ({row.step})" for row in table}
    files = read_ladder(table[0].ladder).files
    one = "model" not in read_ladder(table[0].ladder).options.changes
    shared = table[0].step if one else None  # one network for the whole ladder
    records = []
    for index, row in enumerate(table):
        own, parent = runs.get(row.step, []), titles.get(row.parent or "", row.parent)
        # Sizes of a study's own are only in its runs: both networks are from runs, or both from files.
        both = {row.parent or row.step, row.step} <= runs.keys() or network(
            row.step, row.regime, row.ladder, {}
        ) is None
        before, after = (
            network(name and (shared or name), row.regime, row.ladder, runs if both else {})
            for name in (row.parent, row.step)
        )
        changes, in_runs = _spelt(changes_of(row, runs)), _spelt(changes_in_runs(row, runs))
        record = asdict(row) | {
            "title": titles[row.step],
            "parent_title": parent,
            "group_title": group(row)[0],
            "colour": f"group-{row.group if row.group in groups(row.ladder) else 'own'}",
            "cells": [(each.values[index], each.texts[index]) for each in shown],
            "seeds": {run["seed"]: run["metrics"]["top1"] for run in own},
            "significance": _significance(row),
            "learned": row.learned,
            "changes": changes,
            "in_runs": in_runs if in_runs != changes else [],
            "drawings": drawings(before, after) if after else [],
            "classes": classes_of(own, runs.get(row.parent, []) if row.compared else []),
            "stages": _stages(own[0].get("stages", [])) if own else None,
            "file": files[row.step].path if row.step in files and row.design == Design.ladder.name else "",
        }
        costs, metrics = (
            [_quantity(each.heading, each.texts[index]) for each in shown if each.key in keys and each.texts[index]]
            for keys in (COSTS, row.metrics)
        )
        quantities = {"cost": ", ".join(costs) if row.n else "", "metrics": ", ".join(metrics)}
        records.append(record | {"texts": _texts(row, parent, changes) | quantities})
    return records


def _quantity(heading: str, text: str) -> str:
    """A number of a column with the unit of its heading: `0.341 M parameters`."""
    name, _, unit = heading.partition(", ")
    return f"{text} {unit} {name}" if unit else f"{text} {name}"


def _stages(stages: Sequence[Data]) -> Data | None:
    """The costs by stage and their sum as text: headings of the costs; rows of name, output and costs."""
    if not stages:
        return None
    found = [
        column([*(each[key] for each in stages), sum(each[key] for each in stages)], SMALL_COUNTS)
        for key in ("params", "macs")
    ]
    rows = [(each["name"], f"{each['channels']}×{each['size']}×{each['size']}") for each in stages]
    cells = zip([*rows, ("total", "")], *(texts for _, texts in found), strict=True)
    headings = [headed(name, unit) for name, (unit, _) in zip(("parameters", "multiply-adds"), found, strict=True)]
    return {"headings": headings, "rows": [(*row, *costs) for row, *costs in cells]}


def _texts(row: Row, parent: str | None, changes: Sequence[Change]) -> dict[str, str]:
    """The values of a row as the page shows them."""
    p = p_value(row.p_holm)
    outcome = {True: f"significant (p {p})", False: f"not significant (p {p})", None: "no interval"}[row.significant]
    unknown, unchanged = ("unknown", "none in this regime") if row.parent else ("start of the ladder",) * 2
    return {
        "top1": f"{top1_text(row)} %, n = {row.n}" if row.n else "not run",
        "change": unknown if row.change is None else f"{change_text(row)} vs. {parent}, {outcome}",
        "changes": "\n".join(f"{key}: {old} → {new}" for key, old, new in changes) or unchanged,
        "p": p,
    }


def _significance(row: Row) -> str | None:
    """The class of a change, a key of SIGNIFICANCE; None for the first step, which changes nothing."""
    if row.parent is None:
        return None
    if row.change is None:
        return "blank"
    if row.p is not None and row.p < LEVEL and not row.significant:
        return "uncorrected"
    return {True: "significant", False: "insignificant", None: "single"}[row.significant]


def _spelt(changes: Changes) -> list[Change]:
    return [(key, written(old), written(new)) for key, (old, new) in sorted(changes.items())]

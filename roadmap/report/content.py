"""All that the report of a study shows, as plain data: from the result files kept beside its table, and its curves."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from roadmap.cli import duration
from roadmap.config.designs import difference_of, variants
from roadmap.config.identity import difference
from roadmap.config.schema import Design, Ladder, ModelConfig
from roadmap.config.steps import model_config, steps
from roadmap.errors import ConfigError
from roadmap.networks.anatomy import parts
from roadmap.report.bars import GROUPS, group
from roadmap.report.blocks import drawings
from roadmap.results import collate, curves
from roadmap.results import notes as facts
from roadmap.results.paper import paper_regime
from roadmap.results.statistics import LEVEL
from roadmap.results.table import Row, gflops, p_value, rate

Data = dict[str, Any]


def gather(study: str, results_dir: Path = Path("results")) -> Data:
    """The report of a study as data that JSON can hold; what is not known is None.

    Raises:
        ConfigError: there is no table of this study yet, or what it was made from is damaged.
    """
    directory = results_dir / study
    results = collate.read(directory / "runs")
    if not results:
        raise ConfigError(f"study={study}: no {directory}; first run: python scripts/collate.py study={study}")
    table = collate.rows(results)
    told = facts.facts(table, results)
    told.pop(facts.DEPARTURES, None)
    agreement = next(key for key in told if key.startswith("Agreement"))
    return {
        "study": study,
        "ladder": table[0].ladder,
        "design": table[0].design,
        "compared": collate.COMPARED.get(table[0].design),
        "regime": table[0].regime,
        "paper_regime": paper_regime(table[0].regime),
        "data": table[0].data,
        "test_images": results[0]["test_images"],
        "runs": len(results),
        "seconds": sum(result["wall_seconds"] for result in results),
        "finished_at": max(result["finished_at"] for result in results),
        "rungs": rungs(table, results),
        "curves": [point._asdict() for point in curves.read(directory / curves.CURVES)],
        "agreement": [agreement, told.pop(agreement)],
        "departures": [list(line) for line in facts.departures(results)],
        "facts": told,
    }


def rungs(table: Sequence[Row], results: Sequence[Data]) -> list[Data]:
    """Every row of the table with its delta, its drawings, its costs by stage, and words for all of it."""
    runs: dict[str, list[Data]] = defaultdict(list)
    for result in results:
        runs[result["step"]].append(result)
    counted = Counter(row.title for row in table)
    titles = {row.step: row.title if counted[row.title] == 1 else f"{row.title} ({row.step})" for row in table}
    return [_rung(row, runs, titles) for row in table]


def network(rung: str | None, regime: str, runs: dict[str, list[Data]]) -> ModelConfig | None:
    """The network of a rung: that of its runs, else that of its file; None where there is neither."""
    if rung is None:
        return None
    if rung in runs:
        stated = OmegaConf.merge(OmegaConf.structured(ModelConfig), runs[rung][0]["config"]["model"])
        return cast(ModelConfig, OmegaConf.to_object(stated))
    if rung in {step.name for step in steps()}:
        return model_config(rung, regime)
    beyond = [variant for design in Design if design is not Design.ladder for variant in variants(design, regime)]
    return next((variant.model for variant in beyond if variant.name == rung), None)


def delta(row: Row, runs: dict[str, list[Data]]) -> list[tuple[str, str, str]]:
    """What a rung changes over its parent: dotted key, before, after."""
    for step in steps(row.regime, Ladder[row.ladder]):
        if (step.name, step.parent) == (row.step, row.parent):
            return _words(step.changes)
    before, after = (network(name, row.regime, runs) for name in (row.parent, row.step))
    if before is None or after is None or row.step in runs:
        return found(row, runs)
    other = difference_of(before, after)
    return _words({f"model.{key}": (value, getattr(after, key)) for key, value in other.items()})


def found(row: Row, runs: dict[str, list[Data]]) -> list[tuple[str, str, str]]:
    """The same, as the configurations of the runs have it, under the study's budget; empty without runs of both."""
    if row.step not in runs or row.parent not in runs:
        return []
    parent, own = (runs[name][0]["config"] for name in (row.parent, row.step))
    return _words({k: v for k, v in difference(parent, own).items() if k.startswith(("model.", "recipe."))})


def _rung(row: Row, runs: dict[str, list[Data]], titles: dict[str, str]) -> Data:
    own, any_run = runs.get(row.step, []), next(iter(runs.values()))[0]["config"]["data"]
    regime = row.regime
    before, after = (network(name, regime, runs) for name in (row.parent, row.step))
    if Ladder[row.ladder] is Ladder.recipe:
        before = after = network("resnet", regime, runs)
    shape = {key: any_run[key] for key in ("num_classes", "in_chans", "img_size")}
    changed = delta(row, runs)
    differs = found(row, runs)
    return asdict(row) | {
        "title": titles[row.step],
        "parent_title": titles.get(row.parent or "", row.parent),
        "section": own[0]["section"] if own else None,
        "group_name": group(row.group)[0],
        "colour": f"group-{row.group if row.group in GROUPS else 'own'}",
        "seeds": {run["seed"]: 100 * run["counts"]["top1"] / run["test_images"] for run in own},
        "conclusion": _conclusion(row),
        "delta": changed,
        "differs": differs if differs != changed else [],
        "blocks": drawings(before, after) if after else [],
        # A study may have sizes of its own, which only its runs tell.
        "stages": [asdict(part) for part in parts(after, **shape)] if after and own else [],
        "words": {
            "top1": _top1(row),
            "change": _change(row, titles.get(row.parent or "", row.parent)),
            "cost": _cost(row),
            "gflops": "" if row.gflops is None else gflops(row.gflops),
            "p": "" if row.p_holm is None else p_value(row.p_holm),
            "time": "" if row.seconds is None else duration(row.seconds),
            "delta": "\n".join(f"{key}: {old} → {new}" for key, old, new in changed)
            or ("nothing in this regime" if row.parent else "the start"),
        },
    }


def _conclusion(row: Row) -> str | None:
    """What the data allow to be said of a change; None for the first rung, which is none."""
    if row.parent is None:
        return None
    if row.change is None:
        return "blank"
    if row.p is not None and row.p < LEVEL and not row.significant:
        return "alone"
    return {True: "told", False: "untold", None: "single"}[row.significant]


def _top1(row: Row) -> str:
    if row.top1 is None:
        return "not run"
    deviation = "" if row.top1_std is None else f" ± {row.top1_std:.2f}"
    return f"{row.top1:.2f}{deviation} %, n = {row.n}"


def _change(row: Row, parent: str | None) -> str:
    if row.change is None:
        return "nothing to compare with" if row.parent else "the start"
    if row.change_low is None or row.change_high is None:
        return f"{row.change:+.2f} over {parent}, no interval"
    told = "told from zero" if row.significant else "not told from zero"
    p = "" if row.p_holm is None else f" (p {p_value(row.p_holm)})"
    return f"{row.change:+.2f} [{row.change_low:+.2f}, {row.change_high:+.2f}] over {parent}, {told}{p}"


def _cost(row: Row) -> str:
    if row.params is None or row.gflops is None or row.images_per_second is None or row.seconds is None:
        return ""
    speed = f"{rate(row.images_per_second)} images/s, {duration(row.seconds)} a run"
    return f"{row.params:,} parameters, {gflops(row.gflops)} GFLOPs, {speed}"


def _words(changes: Mapping[str, tuple[Any, Any]]) -> list[tuple[str, str, str]]:
    return [(key, _word(old), _word(new)) for key, (old, new) in sorted(changes.items())]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_word, value))}]"
    return str(value.value if isinstance(value, Enum) else value)

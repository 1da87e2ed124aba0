"""What is to be known about a table beside its numbers: how far it agrees with the paper, and where it comes from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roadmap.cli import duration
from roadmap.config.designs import variants
from roadmap.config.schema import Design, Ladder
from roadmap.results.conclusions import sight
from roadmap.results.paper import paper_regime
from roadmap.results.statistics import kendall_tau, same_sign
from roadmap.results.table import Row

PAPER_TABLE = {"resnet50": "ResNet-50 regime, Table 10", "resnet200": "ResNet-200 regime, Table 11"}
PAPER_SEEDS = {"resnet50": "3", "resnet200": "1"}
DEPARTURES = "Departs from the paper in"
Result = dict[str, Any]


def facts(table: Sequence[Row], results: Sequence[Result]) -> dict[str, str]:
    """What is to be known about a table beside its numbers, by heading."""
    seconds = sum(result["wall_seconds"] for result in results)
    listed = "; ".join(f"{key} {here} (paper: {paper})" for key, here, paper in departures(results))
    return {
        **_agreement_or_reasons(table),
        **sight(table, results[0]["test_images"]),
        **({DEPARTURES: listed} if listed else {}),
        "Hardware": _distinct(_hardware(result["hardware"]) for result in results),
        "Commit": _distinct(_commit(result) for result in results),
        "Versions": _distinct(
            ", ".join(f"{name} {version}" for name, version in result["versions"].items()) for result in results
        ),
        "Total time": f"{duration(seconds)} of training in {len(results)} runs",
    }


def _agreement_or_reasons(table: Sequence[Row]) -> dict[str, str]:
    """How a ladder agrees with the paper; of a design, with which there is nothing to compare, what cannot be."""
    if table[0].design != Design.ladder.name:
        reasons = [
            f"{each.name}: {each.reason}" for each in variants(Design[table[0].design], table[0].regime) if each.reason
        ]
        return {
            "Agreement with the paper": "it has none of these networks",
            "Cannot be combined": "; ".join(reasons) or "none: every variant is a network",
        }
    agreement = _agreement(table) if table[0].ladder == Ladder.network.name else _in_all(table)
    return {f"Agreement with the paper ({PAPER_TABLE[paper_regime(table[0].regime)]})": agreement}


def departures(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """What is other than in the paper: key, value here, value there; the recipes of a study may differ in both.

    Of results from before runs knew it, nothing but the seeds.
    """
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for result in results:
        for key, pair in result.get("deviations", {}).items():
            both = found.setdefault(key, ({}, {}))
            for values, value in zip(both, pair, strict=True):
                values[str(value)] = None
    listed = [(key, " or ".join(here), " or ".join(paper)) for key, (here, paper) in found.items()]
    seeds = {str(n): None for n in sorted(Counter(result["step"] for result in results).values())}
    theirs = PAPER_SEEDS[paper_regime(results[0]["regime"])]
    return listed + ([("seeds", " or ".join(seeds), theirs)] if list(seeds) != [theirs] else [])


def _agreement(table: Sequence[Row]) -> str:
    levels = [(row.top1, row.paper_top1) for row in table if row.top1 is not None and row.paper_top1 is not None]
    changes = [
        (row.change, row.paper_change, row.significant)
        for row in table
        if row.change is not None and row.paper_change is not None
    ]
    tau = kendall_tau([level for level, _ in levels], [level for _, level in levels])
    text = f"Kendall's tau {'not defined' if tau is None else f'{tau:.2f}'} over {len(levels)} rungs"
    if changes:
        agree = same_sign([change for change, _, _ in changes], [change for _, change, _ in changes])
        text += f"; {agree} of {len(changes)} changes have the same sign ({agree / len(changes):.0%})"
    told = [(change, paper) for change, paper, told in changes if told]
    if told:
        agree = same_sign([change for change, _ in told], [change for _, change in told])
        text += f", {agree} of the {len(told)} that can be told from zero"
    return text


def _in_all(table: Sequence[Row]) -> str:
    """The change from the first to the last rung, which is all that the paper tells of its recipe."""
    (_, first), (_, last) = ends = [(row.top1, row.paper_top1) for row in table if row.paper_top1 is not None]
    here = [top1 for top1, _ in ends if top1 is not None]
    assert first is not None and last is not None
    change = f"{here[1] - here[0]:+.2f}" if len(here) == len(ends) else "not known yet"
    return f"the whole recipe {change}, in the paper {last - first:+.2f}; it has nothing of the parts"


def _hardware(hardware: Mapping[str, Any]) -> str:
    gpu = f"{hardware['gpu']}, " if hardware.get("gpu") else ""
    return f"{gpu}{hardware['cpu']}, {hardware['cores']} cores, threads a run: {hardware['threads']}"


def _commit(result: Result) -> str:
    if result["commit"] is None:
        return "unknown"
    return f"`{result['commit'][:12]}`" + (" with uncommitted changes" if result["dirty"] else "")


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))

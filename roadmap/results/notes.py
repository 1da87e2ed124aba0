"""Notes on a table, in sentences: its intervals, the smallest change it can show, and how its runs were made."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roadmap.cli import counted, duration
from roadmap.results.markup import p_value
from roadmap.results.statistics import EFFECT, LEVEL, MOST_SEEDS, POWER, kendall_tau, pooled, same_sign
from roadmap.results.table import Row, samples_of

Result = Mapping[str, Any]
Pairs = Sequence[tuple[Any, Any]]  # numbers of both sides
LEAST_STEPS = 5  # whose order may be called an agreement
PLUMBING = "This study tries out the code path (study.purpose=plumbing): its numbers mean nothing and are not compared."


def intervals(table: Sequence[Row]) -> str:
    """How intervals and significance are computed, and which steps have none."""
    if not table[0].compared:
        return PLUMBING
    single = [row.step for row in table if row.n == 1]
    if len(single) == sum(row.n > 0 for row in table):
        return "One seed: no intervals, and no change is tested for significance."
    tested = sum(row.p is not None for row in table)
    why = f" One seed, no interval: {', '.join(single)}." if single else ""
    after = [f"{row.step} (after {row.parent})" for row in table if row.n > 1 and row.parent in single]
    why += f" No interval either, after a step of one seed: {', '.join(after)}." if after else ""
    if not tested:
        return f"No change has a p value, since none is between two steps of several seeds.{why}"
    text = (
        "Each interval is Welch's 95 % interval of that change alone. A change is significant if its p value, "
        f"with Holm's correction for all {tested} changes, is below {LEVEL:g}."
    )
    return text + why


def significance(table: Sequence[Row]) -> dict[str, str]:
    """The changes that are significant, those that are not, and those without a p value."""
    changed = [row for row in table if row.change is not None]
    groups = {"Significant": True, "Not significant": False, "No p value": None}
    return {
        f"{title}, {len(rows)} of {len(changed)} changes": ", ".join(
            row.step if row.p_holm is None else f"{row.step} ({p_value(row.p_holm)})" for row in rows
        )
        for title, answer in groups.items()
        if (rows := [row for row in changed if row.significant is answer])
    }


def agreement(levels: Pairs, changes: Pairs, significant: Pairs, label: str) -> str:
    """Kendall's tau of two rankings by accuracy, and how many of all and of the significant changes share a sign.

    Both are of steps that learned something; of fewer than `LEAST_STEPS` nothing is said.
    """
    if len(levels) < LEAST_STEPS:
        few = counted(len(levels), "step") if levels else "no step"
        return f"not stated: {few} with a top-1 above guessing, at least {LEAST_STEPS} are needed"
    tau = kendall_tau([a for a, _ in levels], [b for _, b in levels])
    text = f"Kendall's tau {'not defined' if tau is None else f'{tau:.2f}'} over {len(levels)} steps"
    same, among = (same_sign([a for a, _ in pairs], [b for _, b in pairs]) for pairs in (changes, significant))
    text += f"; {same} of {len(changes)} changes have the same sign ({same / len(changes):.0%})" if changes else ""
    return text + (f", {among} of the {len(significant)} {label}" if significant else "")


def sensitivity(table: Sequence[Row], images: int) -> dict[str, str]:
    """The uncertainty of one run on a test set of `images`, and the seeds needed to find a small change."""
    measured = [row for row in table if row.n]
    margins = [abs((end or 0) - (row.top1 or 0)) for row in measured for end in (row.one_run_low, row.one_run_high)]
    found = {
        "One run": f"its top-1 on {images:,} test images is uncertain by {min(margins):.2f} to {max(margins):.2f} "
        "points (95 %)"
    }
    needed, std = measured[0].seeds_needed, pooled(list(samples_of(table).values()))
    if std is not None:
        many = f"more than {MOST_SEEDS:,}" if needed == MOST_SEEDS else f"{needed:,}"
        found["Seeds"] = (
            f"{many} per step would find a change of {EFFECT:g} points with a power of {POWER:.0%} (p below {LEVEL:g} "
            f"without correction), at the pooled standard deviation of {std:.2f}"
        )
    return found


def provenance(results: Sequence[Result]) -> dict[str, str]:
    """Hardware, commit, versions and time of the runs."""
    seconds = sum(result["wall_seconds"] for result in results)
    versions = [", ".join(map(" ".join, result.get("versions", {}).items())) for result in results]
    return {
        "Hardware": _distinct(_hardware(result.get("hardware")) for result in results),
        "Commit": _distinct(_commit(result) for result in results),
        "Versions": _distinct(versions),
        "Total time": f"{duration(seconds)} of training in {len(results)} runs",
    }


def _hardware(hardware: Mapping[str, Any] | None) -> str:
    if not hardware:
        return "unknown"
    gpu = f"{hardware['gpu']}, " if hardware.get("gpu") else ""
    return f"{gpu}{hardware['cpu']}, {hardware['cores']} cores, threads per run: {hardware['threads']}"


def _commit(result: Result) -> str:
    if not result.get("commit"):
        return "unknown"
    return f"`{result['commit'][:12]}`" + (" with uncommitted changes" if result.get("dirty") else "")


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))

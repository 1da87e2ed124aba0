"""What a table allows to conclude, in sentences."""

from collections.abc import Sequence

from roadmap.results.changes import pooled_deviation
from roadmap.results.statistics import EFFECT, LEVEL, MOST_SEEDS, POWER
from roadmap.results.table import Row, p_value


def intervals(table: Sequence[Row]) -> str:
    """What the intervals and p values are, and which rungs have none."""
    single = [row.step for row in table if row.n == 1]
    if len(single) == sum(row.n > 0 for row in table):
        return "One seed: no interval. Which changes are more than chance cannot be told from it."
    tested = sum(row.p is not None for row in table)
    text = (
        "Intervals are Welch's, each for its change alone. "
        f"A change is told from zero where its p, by Holm's correction for all {tested} changes, is below {LEVEL:g}."
    )
    return f"{text} One seed, no interval: {', '.join(single)}." if single else text


def sight(table: Sequence[Row], images: int) -> dict[str, str]:
    """How small a change can be seen: by one run, and by how many seeds."""
    measured = [row for row in table if row.n]
    sides = [abs((end or 0) - (row.top1 or 0)) for row in measured for end in (row.one_run_low, row.one_run_high)]
    least, most = min(sides), max(sides)
    found = {"One run": f"{images:,} test images leave it uncertain by {least:.2f} to {most:.2f} points (95 %)"}
    needed, std = measured[0].seeds_needed, pooled_deviation(table)
    if std is not None:
        many = f"more than {MOST_SEEDS:,}" if needed == MOST_SEEDS else f"{needed:,}"
        text = f"{many} a rung would show a change of {EFFECT:g} points in {POWER:.0%} of ladders"
        found["Seeds"] = f"{text} (p below {LEVEL:g} for it alone), at the deviation of {std:.2f} pooled over the rungs"
    return found


def told(table: Sequence[Row]) -> dict[str, str]:
    """Which changes are told from zero, which are not, and of which nothing can be said."""
    changed = [row for row in table if row.change is not None]
    groups = {"Told from zero": True, "Not told from zero": False, "No p value": None}
    return {
        f"{title}, {len(rows)} of {len(changed)} changes": ", ".join(map(_with_p, rows))
        for title, answer in groups.items()
        if (rows := [row for row in changed if row.significant is answer])
    }


def _with_p(row: Row) -> str:
    return row.step if row.p_holm is None else f"{row.step} ({p_value(row.p_holm)})"

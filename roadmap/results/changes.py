"""From rungs to changes: what each adds to its parent, and which of a ladder's changes are more than chance."""

from collections.abc import Sequence
from dataclasses import replace

from roadmap.results.statistics import LEVEL, Sample, holm, pooled, seeds_needed, welch
from roadmap.results.table import Row


def with_changes(table: Sequence[Row]) -> list[Row]:
    """Rows with their changes filled in, from the mean, deviation and number of seeds of each and its parent.

    All changes that have a p value are one family, side rungs as well: that is what Holm's correction counts.
    """
    known = {row.step: Sample(row.top1, row.top1_std, row.n) for row in table if row.top1 is not None}
    std = pooled_deviation(table)
    needed = None if std is None else seeds_needed(std)
    filled = [_with_change(row, known, needed) for row in table]
    values = [row.p for row in filled if row.p is not None]
    corrected = iter(holm(values))
    return [row if row.p is None else _told(row, next(corrected)) for row in filled]


def pooled_deviation(table: Sequence[Row]) -> float | None:
    """The deviation between seeds, pooled over the rungs; None where every rung has but one."""
    return pooled([Sample(row.top1, row.top1_std, row.n) for row in table if row.top1 is not None])


def _with_change(row: Row, known: dict[str, Sample], needed: int | None) -> Row:
    if row.step not in known:
        return row
    row = replace(row, seeds_needed=needed)
    if row.parent not in known:
        return row
    change = welch(known[row.parent], known[row.step])
    return replace(row, change=change.mean, change_low=change.low, change_high=change.high, p=change.p)


def _told(row: Row, p_holm: float) -> Row:
    return replace(row, p_holm=p_holm, significant=p_holm < LEVEL)

"""Numbers as people write them: one unit and as many decimals in a column, and no more digits than mean something."""

import math
from collections.abc import Mapping, Sequence

DIGITS = 3  # significant, of the middle number of a column
COUNTS = {"M": 1e6, "G": 1e9}
SMALL_COUNTS = {"k": 1e3} | COUNTS
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0}


def column(values: Sequence[float | None], units: Mapping[str, float] | None = None) -> tuple[str, list[str]]:
    """The unit of a column and its numbers in that unit, blank where unknown.

    The unit is the largest in which the middle number is at least 1. All have as many decimals as the middle number
    needs for three significant digits; more if the smallest needs them for one, unless the largest had over five
    digits then. Without decimals, numbers are rounded to three digits.
    """
    known = sorted(abs(value) for value in values if value)
    middle = known[len(known) // 2] if known else 1.0
    sizes = sorted((size, unit) for unit, size in (units or {"": 1.0}).items())
    size, unit = max([each for each in sizes if each[0] <= middle], default=sizes[0])
    least, centre, most = (_digits(value / size) for value in (known[0], middle, known[-1])) if known else (DIGITS,) * 3
    decimals = max(0, DIGITS - centre, min(1 - least, DIGITS + 2 - most))
    return unit, ["" if value is None else _fixed(value / size, decimals) for value in values]


def amount(value: float) -> str:
    """Three significant digits, or all digits before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def headed(name: str, unit: str) -> str:
    """The heading of a column: `parameters, M`."""
    return f"{name}, {unit}" if unit else name


def written(value: object) -> str:
    """The value of an option, lists in brackets, `unset` for none; a fraction that six digits cannot give has four."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        exact = f"{value:g}"
        return (exact if float(exact) == value else f"{value:.4g}").replace("e-0", "e-")
    return f"[{', '.join(map(written, value))}]" if isinstance(value, list | tuple) else str(value)


def _digits(value: float) -> int:
    """Digits before the decimal point; for numbers below 0.1, minus the zeros behind it."""
    return math.floor(math.log10(abs(value))) + 1 if value else 1


def _fixed(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}" if decimals else f"{round(value, min(0, DIGITS - _digits(value))):,.0f}"

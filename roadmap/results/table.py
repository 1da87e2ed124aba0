"""The ladder as a table: its rows, the CSV they are kept in, and the Markdown they are read in."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from roadmap.config.aliases import COLUMN_VALUES, COLUMNS
from roadmap.config.schema import Design
from roadmap.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A rung. Accuracies in percent, raw weights; what is not known is None."""

    study: str
    ladder: str
    """What changes from rung to rung: the network or the recipe."""
    regime: str
    data: str
    step: str
    parent: str | None
    group: str
    title: str
    main_sequence: bool
    """Whether the ladder goes on from here; the others are side rungs."""
    n: int = 0
    """Seeds."""
    top1: float | None = None
    top1_std: float | None = None
    change: float | None = None
    """Mean top-1 minus that of the parent."""
    change_low: float | None = None
    change_high: float | None = None
    """95 % confidence interval of the change."""
    significant: bool | None = None
    """Whether `p_holm` is below 0.05."""
    p: float | None = None
    """Of the change alone: Welch's test, two-sided."""
    p_holm: float | None = None
    """The same with Holm's correction for all changes of the ladder."""
    seeds_needed: int | None = None
    """Seeds a rung to see 0.2 points at 80 % power, from the deviation pooled over the ladder."""
    one_run_low: float | None = None
    one_run_high: float | None = None
    """95 % interval of one run on the test set at this accuracy."""
    seconds: float | None = None
    """Wall time of a run, on average."""
    params: int | None = None
    gflops: float | None = None
    """Multiply-adds in units of 1e9."""
    images_per_second: float | None = None
    """In training."""
    paper_top1: float | None = None
    paper_change: float | None = None
    design: str = Design.ladder.name
    """Of leave_one_out and add_one all rows but the first are variants of that one, and on no path."""

    @property
    def side(self) -> bool:
        """Whether it is a side rung: tried on the way, and left."""
        return not self.main_sequence and self.design == Design.ladder.name


def write_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV text; what is not known stays blank."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _text(value) for key, value in asdict(row).items()})
    return stream.getvalue()


def read_csv(path: Path) -> list[Row]:
    """Rows as `write_csv` has written them.

    Raises:
        ConfigError: the file is not such a table.
    """
    kinds = {field.name: field.type for field in fields(Row)}
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        renamed = [COLUMNS.get(name, name) for name in reader.fieldnames or []]
        reader.fieldnames = renamed
        if renamed != list(kinds):
            raise ConfigError(f"{path}: not a ladder: allowed columns are {','.join(kinds)}")
        try:
            return [Row(**{key: _value(_new(line, key), kind) for key, kind in kinds.items()}) for line in reader]
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}: line {reader.line_num}: {error}") from error


HEAD = (
    "| rung | n | top-1 % | std | change [95 % CI] | p, Holm | told from zero | parameters | GFLOPs | images/s "
    "| paper top-1 % | paper change |\n|---|--:|--:|--:|--:|--:|:-:|--:|--:|--:|--:|--:|\n"
)


def to_markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    return HEAD + "".join("| " + " | ".join(_cells(row)) + " |\n" for row in rows)


def gflops(value: float) -> str:
    """GFLOPs with two decimals, small networks with three digits."""
    return f"{value:.2f}" if value >= 1 else f"{value:#.3g}"


def rate(value: float) -> str:
    """Images a second, few of them with two digits."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def p_value(value: float) -> str:
    """A p value with three decimals, or that it is smaller."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cells(row: Row) -> list[str]:
    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    change = cell(row.change, "+.2f")
    if row.change_low is not None and row.change_high is not None:
        change += f" [{row.change_low:+.2f}, {row.change_high:+.2f}]"
    return [
        f"{row.step} (side)" if row.side else row.step,
        str(row.n or ""),
        cell(row.top1, ".2f"),
        cell(row.top1_std, ".2f"),
        change,
        "" if row.p_holm is None else p_value(row.p_holm),
        {None: "", True: "yes", False: "no"}[row.significant],
        cell(row.params, ","),
        "" if row.gflops is None else gflops(row.gflops),
        "" if row.images_per_second is None else rate(row.images_per_second),
        cell(row.paper_top1, ".2f"),
        cell(row.paper_change, "+.2f"),
    ]


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return round(value, 6) if isinstance(value, float) else value


def _new(line: dict[str, str], key: str) -> str:
    return COLUMN_VALUES.get(key, {}).get(line[key], line[key])


def _value(text: str, kind: Any) -> Any:
    kinds = get_args(kind) or (kind,)
    if text == "" and NoneType in kinds:
        return None
    if bool in kinds:
        return {"yes": True, "no": False}.get(text)
    return kinds[0](text)

"""The rows of a study: long rows per run and metric, one row per step, and the CSV files they are kept in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from roadmap.config.aliases import COLUMN_VALUES, COLUMNS
from roadmap.config.schema import Design, Purpose
from roadmap.config.values import Line, Name
from roadmap.errors import ConfigError
from roadmap.results.statistics import LEVEL, Sample, deviation, holm, one_run, pooled, seeds_needed, welch
from roadmap.run_files import Metric
from roadmap.runs import PUBLISHED, checked

if TYPE_CHECKING:
    from pandas import DataFrame  # half a second to import: inside functions

LONG = ("study", "step", "seed", "metric", "value")
FORMULA = ("=", "+", "-", "@")
"""Beginnings of texts that a spreadsheet computes; an apostrophe before them says that they are text."""
COSTS = ("params", "macs", "images_per_second", "wall_seconds")  # no metrics, but rows of their own all the same


@dataclass(frozen=True)
class Row:
    """A step. Accuracies are in percent, of the raw weights; unknown values are None."""

    study: Name
    ladder: Name
    regime: Name
    data: Name
    step: Name
    parent: Name | None
    group: Name
    title: Line
    main_sequence: bool
    n: int = 0  # seeds
    top1: float | None = None  # mean over the seeds
    top1_std: float | None = None
    change: float | None = None  # mean top-1 minus that of the parent, with Welch's 95 % confidence interval
    change_low: float | None = None
    change_high: float | None = None
    significant: bool | None = None  # p_holm below 0.05
    p: float | None = None  # of the change alone: Welch's test, two-sided
    p_holm: float | None = None  # with Holm's correction for all changes of the ladder
    seeds_needed: int | None = None  # per step to find 0.2 points with 80 % power, from the pooled std
    one_run_low: float | None = None  # 95 % interval of one run on the test set at this accuracy
    one_run_high: float | None = None
    seconds: float | None = None  # mean wall time of a run
    params: int | None = None
    gflops: float | None = None  # multiply-adds in units of 1e9
    images_per_second: float | None = None  # in training
    paper_top1: float | None = None
    paper_change: float | None = None
    design: str = Design.ladder.name  # in others, all rows but the first are variants of the first
    purpose: str = Purpose.comparison.name
    chance: float | None = None  # top-1 of guessing
    metrics: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    """All further metrics: mean and standard deviation. Columns `<metric>` and `<metric>_std` of the CSV file."""

    @property
    def side(self) -> bool:
        """Whether it is a side step: tried, and left."""
        return not self.main_sequence and self.design == Design.ladder.name

    @property
    def compared(self) -> bool:
        """Whether the numbers of its study mean something."""
        return self.purpose != Purpose.plumbing.name

    @property
    def learned(self) -> bool:
        """Whether it was run and its top-1 is above that of guessing by more than the error of one run."""
        return self.top1 is not None and (self.chance is None or (self.one_run_low or 0.0) > self.chance)


def long_rows(results: Iterable[Mapping[str, Any]]) -> DataFrame:
    """One row per run and metric, with the columns of `LONG`; metrics that are not numbers are left out."""
    import pandas

    rows = [
        (result["study"], result["step"], result["seed"], metric, value)
        for result in results
        for metric, value in {**result["metrics"], **{key: result.get(key) for key in COSTS}}.items()
        if isinstance(value, int | float)
    ]
    return pandas.DataFrame(rows, columns=list(LONG), dtype=object)


def summarize(runs: DataFrame, blank: Sequence[Row], images: int) -> list[Row]:
    """The rows of `blank` with means and changes from long rows; a step without runs stays blank.

    `images` is the size of the test set.
    """
    by_step: dict[str, dict[str, list[Any]]] = {}
    for step, metric, value in zip(runs["step"], runs["metric"], runs["value"], strict=True):
        by_step.setdefault(step, {}).setdefault(metric, []).append(value)
    return with_changes([_measured(row, by_step[row.step]) if row.step in by_step else row for row in blank], images)


def with_changes(rows: Sequence[Row], images: int) -> list[Row]:
    """Rows with everything that follows from n, top1 and top1_std of the steps and their parents.

    All changes with a p value, side steps included, are the family that Holm's correction counts. Rows of a study
    whose numbers mean nothing stay as they are.
    """
    if not all(row.compared for row in rows):
        return [*rows]
    samples = samples_of(rows)
    parents = {row.step: row.parent for row in rows if row.parent in samples and row.step in samples}
    found = {step: welch(samples[str(parent)], samples[step]) for step, parent in parents.items()}
    tested = {step: change.p for step, change in found.items() if change.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    std = pooled(list(samples.values()))
    needed = None if std is None else seeds_needed(std)
    filled = []
    for row in rows:
        if row.top1 is not None:
            low, high = one_run(row.top1, images)
            row = replace(row, seeds_needed=needed, one_run_low=low, one_run_high=high)
        if change := found.get(row.step):
            row = replace(row, change=change.mean, change_low=change.low, change_high=change.high, p=change.p)
        if (p_holm := corrected.get(row.step)) is not None:
            row = replace(row, p_holm=p_holm, significant=p_holm < LEVEL)
        filled.append(row)
    return filled


def samples_of(rows: Iterable[Row]) -> dict[str, Sample]:
    """The top-1 of each step that was run."""
    return {row.step: Sample(row.top1, row.top1_std, row.n) for row in rows if row.top1 is not None}


def to_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV text; unknown values are blank."""
    import pandas

    records = []
    for row in rows:
        record = asdict(row)
        for name, (mean, std) in record.pop("metrics").items():
            record |= {name: mean, f"{name}_std": std}
        records.append({name: _text(value) for name, value in record.items()})
    return str(pandas.DataFrame(records, dtype=object).to_csv(index=False, lineterminator="\n"))


def table_of(study: str, results_dir: Path) -> Path:
    """The CSV file of a study: one's own, else the published one; a ConfigError if there is neither."""
    own, published = (directory / study / "ladder.csv" for directory in (results_dir, results_dir / PUBLISHED))
    for path in (own, published):
        if path.exists():
            return path
    raise ConfigError(f"study={study}: no {own}; first run: python scripts/collate.py study={study}")


def read_csv(path: Path) -> list[Row]:
    """Rows from CSV text; a ConfigError if it is not a table of a study.

    Columns may be in any order; those that `Row` does not know are metrics.
    """
    import pandas

    kinds = {name: kind for name, kind in get_type_hints(Row).items() if name != "metrics"}
    try:
        # The python engine reads missing cells of a truncated line as nan.
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False, engine="python")
    except ValueError as error:
        raise ConfigError(f"{path}: not a table: {error}") from error
    frame = frame.rename(columns=COLUMNS).replace(COLUMN_VALUES)
    if missing := [name for name in kinds if name not in frame and not hasattr(Row, name)]:  # no default
        raise ConfigError(f"{path}: not a table of a study: column {missing[0]} is missing")
    further = [str(name) for name in frame if name not in kinds]
    means = [name for name in further if not (name.endswith("_std") and name.removesuffix("_std") in further)]
    rows = []
    for number, line in enumerate(frame.to_dict("records"), start=2):
        try:
            known = {name: _value(line[name], kind) for name, kind in kinds.items() if name in line}
            values = {name: _value(line[name], float | None) for name in further}
        except (KeyError, ValueError) as error:
            raise ConfigError(f"{path}: line {number}: {error}") from error
        metrics = {name: (values[name], values.get(f"{name}_std")) for name in means if values[name] is not None}
        rows.append(Row(**known, metrics=metrics))
        checked(vars(rows[-1]), Row, f"{path}: line {number}")
        checked(values, dict[Metric, float | None], f"{path}: line {number}")
    return rows


def _measured(row: Row, values: Mapping[str, list[Any]]) -> Row:
    known = {name: (fmean(each), deviation(each)) for name, each in values.items()}
    top1, top1_std = known.get("top1", (None, None))
    speed, seconds = (known.get(name, (None, None))[0] for name in ("images_per_second", "wall_seconds"))
    row = replace(row, n=max(map(len, values.values())), top1=top1, top1_std=top1_std, images_per_second=speed)
    metrics = {name: each for name, each in known.items() if name not in (*COSTS, "top1")}
    params, gflops = values["params"][0], values["macs"][0] / 1e9
    return replace(row, seconds=seconds, params=params, gflops=gflops, metrics=metrics)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.lstrip("'")[:1] in FORMULA:
        return f"'{value}"
    return round(value, 6) if isinstance(value, float) else value


def _value(text: object, kind: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("cells are missing")
    known, *optional = get_args(kind) or (kind,)
    if optional and not text:
        return None
    if known is str and text[:1] == "'" and text.lstrip("'")[:1] in FORMULA:
        return text[1:]
    return {"yes": True, "no": False}[text] if known is bool else known(text)

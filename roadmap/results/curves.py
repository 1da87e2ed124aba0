"""The training curves of a study as one CSV file, which is kept when the runs' own metrics are gone."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from roadmap.errors import ConfigError
from roadmap.results.table import COLUMNS
from roadmap.runs import METRICS

CURVES = "curves.csv"


class Point(NamedTuple):
    """An epoch of a run."""

    step: str
    seed: int
    epoch: int
    loss: float
    """Of training, the mean over the epoch."""
    top1: float
    """On the test set in percent, raw weights."""
    ema_top1: float
    """The same of the averaged weights."""


def from_runs(study: Path, results: Iterable[dict[str, Any]]) -> list[Point]:
    """The epochs of the runs behind these results, of those that have their metrics, in the order of the results.

    Raises:
        ConfigError: a line that is none of metrics.
    """
    points = []
    for result in results:
        path = study / result["step"] / f"seed-{result['seed']}" / METRICS
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                said = json.loads(line)
                values = [float(said[key]) for key in ("loss", "top1", "ema_top1")]
                points.append(Point(result["step"], int(result["seed"]), int(said["epoch"]), *values))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}: not metrics: {line[:60]}") from error
    return points


def to_csv(points: Iterable[Point]) -> str:
    """Points as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Point._fields)
    writer.writerows(
        [value if isinstance(value, str | int) else round(value, 6) for value in point] for point in points
    )
    return stream.getvalue()


def read(path: Path) -> list[Point]:
    """Points as `to_csv` has written them; none where there is no file.

    Raises:
        ConfigError: the file is not such a table.
    """
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        reader = csv.reader(stream)
        if [COLUMNS.get(name, name) for name in next(reader, [])] != list(Point._fields):
            raise ConfigError(f"{path}: not curves: allowed columns are {','.join(Point._fields)}")
        try:
            return [Point(step, int(seed), int(epoch), *map(float, rest)) for step, seed, epoch, *rest in reader]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: line {reader.line_num}: {error}") from error

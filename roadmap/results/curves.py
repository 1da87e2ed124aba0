"""The training curves of a study as one CSV file, kept when the metrics files of the runs are gone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roadmap.config.aliases import COLUMNS
from roadmap.config.values import conform
from roadmap.errors import ConfigError, Report, left_out
from roadmap.run_files import CurvePoint
from roadmap.runs import METRICS, read_metrics

CURVES = "curves.csv"
# Per epoch of a run: the mean training loss, and the top-1 in percent on the test set.
KINDS = {"step": str, "seed": int, "epoch": int, "loss": float, "top1": float, "ema_top1": float}
Point = dict[str, Any]


def from_runs(study: Path, results: Iterable[Mapping[str, Any]], bad: Report | None = None) -> list[Point]:
    """The epochs of the runs of these results, of those that have a metrics file; `left_out` if a line is wrong."""
    points: list[Point] = []
    for result in results:
        own = {"step": result["step"], "seed": result["seed"]}
        with left_out(bad):
            lines = read_metrics(study / result["step"] / f"seed-{result['seed']}" / METRICS)
            points += [_point(line | own) for line in lines]
    return points


def to_csv(points: Iterable[Point]) -> str:
    """Points as CSV text; without points, none."""
    import pandas

    rows = [{k: round(v, 6) if isinstance(v, float) else v for k, v in point.items()} for point in points]
    return str(pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n")) if rows else ""


def read(path: Path) -> list[Point]:
    """The points in a CSV file; none without a file (ConfigError: the file is not a table of curves)."""
    import pandas

    if not path.exists():
        return []
    try:
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False).rename(columns=COLUMNS)
        points = [_point(line) for line in frame[list(KINDS)].to_dict("records")]
        for point in points:
            conform(point, CurvePoint, "")
        return points
    except (KeyError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: not curves with the columns {','.join(KINDS)}: {error}") from error


def of_results(path: Path, results: Iterable[Mapping[str, Any]], bad: Report | None = None) -> list[Point]:
    """The points of these results in a CSV file; `left_out` if it is wrong."""
    wanted, points = {(result["step"], result["seed"]) for result in results}, list[Point]()
    with left_out(bad):
        points = read(path) if wanted else []
    return [point for point in points if (point["step"], point["seed"]) in wanted]


def _point(line: Mapping[Any, Any]) -> Point:
    return {name: kind(line[name]) for name, kind in KINDS.items()}

"""The training curves of a study as one CSV file, kept when the metrics files of the runs are gone."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roadmap.config.aliases import COLUMNS
from roadmap.errors import ConfigError
from roadmap.runs import METRICS

CURVES = "curves.csv"
# Per epoch of a run: the mean training loss, and the top-1 in percent on the test set.
KINDS = {"step": str, "seed": int, "epoch": int, "loss": float, "top1": float, "ema_top1": float}
Point = dict[str, Any]


def from_runs(study: Path, results: Iterable[Mapping[str, Any]]) -> list[Point]:
    """The epochs of the runs of these results, of those that have a metrics file (ConfigError: a damaged line)."""
    points = []
    for result in results:
        path = study / result["step"] / f"seed-{result['seed']}" / METRICS
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                points.append(_point({**json.loads(line), "step": result["step"], "seed": result["seed"]}))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}: not metrics: {line[:60]}") from error
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
        return [_point(line) for line in frame[list(KINDS)].to_dict("records")]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path}: not curves with the columns {','.join(KINDS)}: {error}") from error


def of_results(path: Path, results: Iterable[Mapping[str, Any]]) -> list[Point]:
    """The points of these results in a CSV file."""
    wanted = {(result["step"], result["seed"]) for result in results}
    return [point for point in (read(path) if wanted else ()) if (point["step"], point["seed"]) in wanted]


def _point(line: Mapping[Any, Any]) -> Point:
    return {name: kind(line[name]) for name, kind in KINDS.items()}

"""The results of a study from several directories: its runs, copies of their results, the published ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadmap.errors import ConfigError, Report, left_out, require
from roadmap.files import write_atomic
from roadmap.results import curves
from roadmap.results.compatibility import refuse_incompatible
from roadmap.runs import PUBLISHED, RESULT, find_results, read_result

Result = dict[str, Any]
Found = dict[Path, Result]
"""Results by the path of their file."""


def finished_results(
    study: str, places: Sequence[Path], say: Report = lambda _line: None, *, bad: Report | None = None
) -> Found:
    """`joined`, or a ConfigError if no run is finished."""
    found = joined(study, places, say, bad=bad)
    if not found:
        words = f"study={study}" if "," not in study else "with the words that name it"
        first = f"first run: python scripts/sweep.py {words}"
        raise ConfigError(f"study={study}: no finished run in {places[0]}; {first}")
    return found


def directories(study: str, results_dir: Path, runs_dir: Path | None = None) -> list[Path]:
    """The directories with results of a study, the preferred first: its runs, copies of them, the published results."""
    copies = [directory / study / "runs" for directory in (results_dir, results_dir / PUBLISHED)]
    return [runs_dir / study, *copies] if runs_dir else copies


def joined(study: str, places: Sequence[Path], say: Report = lambda _line: None, *, bad: Report | None = None) -> Found:
    """The results of a study from several directories by step and seed, of each run the first.

    A directory whose results do not belong into one table with those before it is left out, and the reason is said.
    A ConfigError if the results of the first directory do not belong into one table, or one of them is damaged.
    """
    found: Found = {}
    for source in places:
        there, known = read(source, study, bad), {place(each) for each in found.values()}
        new = {path: each for path, each in there.items() if place(each) not in known}
        try:
            refuse_incompatible([*found.values(), *new.values()])
        except ConfigError as error:
            if not found:
                raise
            say(f"{source}: left out: {error}")
            continue
        if new:
            say(f"{len(new)} finished in {source}")
        found |= new
    return dict(sorted(found.items(), key=lambda item: place(item[1])))


def read(directory: Path, study: str, bad: Report | None = None) -> Found:
    """All results in a directory of a study, by step and seed; `left_out`: damaged ones, and those of another place."""
    results = {}
    for path in find_results(directory):
        with left_out(bad):
            result = read_result(path)
            require(result["study"] == study, f"{path}: study", result["study"], f"{study}, of which it is a result")
            if path.relative_to(directory) != place(result):
                raise ConfigError(f"{path}: holds the result of {place(result).parent}")
            results[path] = result
    return results


def place(result: Result) -> Path:
    """The path of a result in the directory of its study."""
    return Path(result["step"]) / f"seed-{result['seed']}" / RESULT


def keep(found: Found, directory: Path) -> None:
    """Copy result files into a directory of a study; nothing is removed there."""
    for path, result in found.items():
        copy, content = directory / place(result), path.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(copy, content)


def joined_curves(found: Found, places: Sequence[Path], bad: Report | None = None) -> list[curves.Point]:
    """The curves of results, each from the first directory that has them for this result, to the byte."""
    points: list[curves.Point] = []
    for source in places:
        known = {(point["step"], point["seed"]) for point in points}
        here = [
            result
            for path, result in found.items()
            if (result["step"], result["seed"]) not in known and _same(source / place(result), path)
        ]
        points += curves.from_runs(source, here, bad) or curves.of_results(source.with_name(curves.CURVES), here, bad)
    return sorted(points, key=lambda point: (place(point), point["epoch"]))


def _same(a: Path, b: Path) -> bool:
    return a == b or (a.exists() and a.read_bytes() == b.read_bytes())

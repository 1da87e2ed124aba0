"""From result files to the table of a study: means over seeds, changes, and what is to be known beside them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from roadmap.config.designs import base_of, variants
from roadmap.config.schema import Design, Ladder
from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.files import write_atomic
from roadmap.results import curves
from roadmap.results.changes import with_changes
from roadmap.results.compatibility import design_of, ladder_of, refuse_mixed
from roadmap.results.conclusions import intervals
from roadmap.results.latex import to_latex
from roadmap.results.notes import Result, facts
from roadmap.results.paper import published
from roadmap.results.statistics import deviation, one_run
from roadmap.results.table import Row, to_markdown, write_csv
from roadmap.runs import RESULT, find_results, read_result

COMPARED = {
    Design.leave_one_out.name: "The parent is the end of the path, and each rung is that without one change: "
    "below zero, the network was better with it.",
    Design.add_one.name: "The parent is the start of the path, and each rung is that with one change alone: "
    "above zero, it is of use without the others.",
}


def collate(
    study: str,
    runs_dir: Path = Path("runs"),
    results_dir: Path = Path("results"),
    say: Callable[[str], object] = lambda _line: None,
) -> list[Path]:
    """Write a study's ladder.csv, .md and .tex, and beside them what they are made from: runs/, and curves.csv.

    Reads <runs_dir>/<study>; where that does not exist, the result files kept from the last time. What is
    kept is always exactly what the table was made from. Returns the paths of the tables.

    Raises:
        ConfigError: no finished run, a damaged result, or runs that do not belong into one table.
    """
    kept = results_dir / study / "runs"
    source = runs_dir / study if (runs_dir / study).is_dir() else kept
    results = read(source)
    if not results:
        words = f"study={study}" if "," not in study else "with the words that name it"
        first = f"first run: python scripts/sweep.py {words}"
        raise ConfigError(f"study={study}: no finished run in {runs_dir / study}; {first}")
    if results[0]["study"] != study:
        raise ConfigError(f"study={study}: {source} holds runs of another study, {results[0]['study']}")
    say(f"{len(results)} finished in {source}")
    table = rows(results)
    if source != kept:
        points = curves.from_runs(source, results)
        _keep(source, kept, [_place(result) for result in results])
        _keep_curves(points, results_dir / study / curves.CURVES)
    written = {"ladder.csv": write_csv(table), "ladder.md": report(table, results), "ladder.tex": to_latex(table)}
    for name, text in written.items():
        write_atomic(results_dir / study / name, text)
    return [results_dir / study / name for name in written]


def read(directory: Path) -> list[Result]:
    """All results of a study's directory that may stand in one table, by step and seed.

    Raises:
        ConfigError: a damaged result, one in the wrong place, or runs that do not belong into one table.
    """
    results = []
    for path in find_results(directory):
        result = read_result(path)
        if path.relative_to(directory) != _place(result):
            raise ConfigError(f"{path}: holds the result of {_place(result).parent}")
        results.append(result)
    refuse_mixed(results)
    return results


def rows(results: Sequence[Result]) -> list[Row]:
    """One row a rung in ladder order, blank where nothing was run; rungs without a step file at the end.

    Of a design its base comes first, then its variants in the order of the changes that they are about.
    """
    by_step: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_step[result["step"]].append(result)
    first, ladder, design = results[0], ladder_of(results[0]), design_of(results[0])
    row = partial(
        Row, first["study"], ladder.name, first["regime"], first["config"]["data"]["name"], design=design.name
    )
    blank = _blank(row, ladder, design, first["regime"])
    titles = {row.title for row in blank}
    for name in sorted(by_step.keys() - {row.step for row in blank}):
        parent, title = by_step[name][0]["parent"], by_step[name][0]["title"]
        # One that was made from a step on the command line has that step's title unless it was given its own.
        blank.append(row(name, parent, "own", name if title in titles else title, False))
    return with_changes([_measured(_with_paper(row), by_step) for row in blank])


def _blank(row: Callable[..., Row], ladder: Ladder, design: Design, regime: str) -> list[Row]:
    """The rows of a ladder before anything was run."""
    rungs = steps(ladder=ladder)
    if design is Design.ladder:
        return [row(rung.name, rung.parent, rung.group, rung.title, rung.main_sequence) for rung in rungs]
    base = base_of(design, rungs)
    there = [each for each in variants(design, regime) if not each.reason]
    return [
        row(base.name, None, base.group, base.title, True),
        *(row(each.name, base.name, each.step.group, each.title, False) for each in there),
    ]


def report(table: Sequence[Row], results: Sequence[Result]) -> str:
    """The table as a page of Markdown, with what is to be known about how it came about."""
    first = results[0]
    lines = [
        f"# The ladder: {first['study']}",
        "",
        f"Top-1 on {first['test_images']:,} images, raw weights, mean over n seeds; changes to the parent.",
        *([COMPARED[table[0].design]] if table[0].design in COMPARED else []),
        intervals(table),
        "",
        to_markdown(table),
        *(f"- {key}: {value}" for key, value in facts(table, results).items()),
    ]
    return "\n".join(lines) + "\n"


def _with_paper(row: Row) -> Row:
    paper = published(row.regime, Ladder[row.ladder])
    here, parent = paper.get(row.step), paper.get(row.parent or "")
    if here is None:
        return row
    change = round(here.top1 - parent.top1, 2) if parent else None
    return replace(row, paper_top1=here.top1, paper_change=change)


def _measured(row: Row, by_step: Mapping[str, Sequence[Result]]) -> Row:
    results = by_step.get(row.step, [])
    if not results:
        return row
    accuracies = [100 * result["counts"]["top1"] / result["test_images"] for result in results]
    low, high = one_run(fmean(accuracies), results[0]["test_images"])
    return replace(
        row,
        n=len(results),
        top1=fmean(accuracies),
        top1_std=deviation(accuracies),
        params=results[0]["params"],
        gflops=results[0]["macs"] / 1e9,
        images_per_second=fmean([result["images_per_second"] for result in results]),
        one_run_low=low,
        one_run_high=high,
        seconds=fmean([result["wall_seconds"] for result in results]),
    )


def _place(result: Result) -> Path:
    """Where a result lies in its study."""
    return Path(result["step"]) / f"seed-{result['seed']}" / RESULT


def _keep(source: Path, kept: Path, places: Sequence[Path]) -> None:
    """Make `kept` hold exactly these result files of `source`."""
    for path in find_results(kept):
        if path.relative_to(kept) not in places:
            path.unlink()
    for place in places:
        content = (source / place).read_bytes()
        if not (kept / place).exists() or (kept / place).read_bytes() != content:
            (kept / place).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(kept / place, content)


def _keep_curves(points: Sequence[curves.Point], path: Path) -> None:
    """Keep the curves of exactly these runs: no file where they have none."""
    if points:
        write_atomic(path, curves.to_csv(points))
    else:
        path.unlink(missing_ok=True)


def main(words: list[str]) -> int:
    """Write the table of a study from its result files: ladder.csv, ladder.md and ladder.tex in results/<study>.

        python scripts/collate.py                              the default study
        python scripts/collate.py study=smoke                  another study
        python scripts/collate.py study=smoke recipe.smoothing=0   the study of a sweep, named by the same words

    Reads <runs_dir>/<study>, at any moment of a sweep. Without that directory, it reads the result files kept in
    <results_dir>/<study>/runs when the table was last written.
    """
    from roadmap.cli import study_options

    chosen = study_options(words, {})
    for path in collate(chosen["study"], Path(chosen["runs_dir"]), Path(chosen["results_dir"]), print):
        print(path)
    return 0

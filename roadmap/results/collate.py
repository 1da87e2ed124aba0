"""From the result files of a study to its table, and the notes on it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from roadmap.config.designs import base_of, variants
from roadmap.config.schema import Design
from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.files import write_atomic
from roadmap.results import curves, notes
from roadmap.results.compatibility import design_of, ladder_of, refuse_incompatible
from roadmap.results.markup import page, to_latex
from roadmap.results.paper import REGIMES, agreement, deviations, paper_regime, with_paper
from roadmap.results.table import Row, long_rows, summarize, to_csv
from roadmap.runs import RESULT, find_results, read_result

Result = dict[str, Any]
COMPARED = {
    Design.leave_one_out.name: "The parent is the end of the main sequence; each step is that network without one "
    "change. Below zero, the network was better with the change.",
    Design.add_one.name: "The parent is the start of the main sequence; each step is that network with one change "
    "alone. Above zero, the change is of use without the others.",
}
DEVIATIONS = "Deviations from the paper"


def collate(
    study: str,
    runs_dir: Path = Path("runs"),
    results_dir: Path = Path("results"),
    say: Callable[[str], object] = lambda _line: None,
) -> list[Path]:
    """Write ladder.csv, .md and .tex of a study, and beside them runs.csv, curves.csv and the result files in runs/.

    Reads <runs_dir>/<study>; if that does not exist, the result files kept in <results_dir>/<study>/runs. The kept
    files are always exactly those the table was made from. Returns the paths of the tables.
    A ConfigError if there is no finished run, a damaged result, or runs that do not belong into one table.
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
    refuse_incompatible(results)
    table = rows(results)
    if source != kept:
        points = curves.from_runs(source, results)
        _keep(source, kept, [_place(result) for result in results])
        curves.write(points, results_dir / study / curves.CURVES)
    written = {"ladder.csv": to_csv(table), "ladder.md": report(table, results), "ladder.tex": to_latex(table)}
    write_atomic(results_dir / study / "runs.csv", long_rows(results).to_csv(index=False, lineterminator="\n"))
    for name, text in written.items():
        write_atomic(results_dir / study / name, text)
    return [results_dir / study / name for name in written]


def read(directory: Path) -> list[Result]:
    """All results in the directory of a study, by step and seed (ConfigError: one is damaged or in the wrong place)."""
    results = []
    for path in find_results(directory):
        result = read_result(path)
        if path.relative_to(directory) != _place(result):
            raise ConfigError(f"{path}: holds the result of {_place(result).parent}")
        results.append(result)
    return results


def rows(results: Sequence[Result]) -> list[Row]:
    """The table of a study: one row per step, in ladder order."""
    return summarize(long_rows(results), blank_rows(results), results[0]["test_images"])


def blank_rows(results: Sequence[Result]) -> list[Row]:
    """The rows of a study before any run: steps in ladder order, then those that no step file defines.

    A design has its base first, then its variants in the order of their changes.
    """
    first, ladder, design = results[0], ladder_of(results[0]), design_of(results[0])
    regime, data = first["regime"], first["config"]["data"]["name"]

    def row(name: str, parent: str | None, group: str, title: str, main_sequence: bool = False) -> Row:
        own = (first["study"], ladder.name, regime, data, name, parent, group, title, main_sequence)
        return with_paper(Row(*own, design=design.name))

    known = steps(ladder=ladder)
    if design is Design.ladder:
        blank = [row(step.name, step.parent, step.group, step.title, step.main_sequence) for step in known]
    else:
        base = base_of(design, known)
        blank = [row(base.name, None, base.group, base.title, True)]
        possible = [variant for variant in variants(design, regime) if not variant.reason]
        blank += [row(variant.name, base.name, variant.step.group, variant.title) for variant in possible]
    names, titles = {each.step for each in blank}, {each.title for each in blank}
    for name, own in sorted({result["step"]: result for result in reversed(results)}.items()):
        if name not in names:
            # A step made on the command line has the title of the step it was made from, unless it was given its own.
            title = name if own["title"] in titles else own["title"]
            blank.append(row(name, own["parent"], "own", title))
    return blank


def report(table: Sequence[Row], results: Sequence[Result]) -> str:
    """The table as a page of Markdown, with notes."""
    lines = [
        f"Top-1 on {results[0]['test_images']:,} images, raw weights, mean over n seeds; changes to the parent.",
        *([COMPARED[table[0].design]] if table[0].design in COMPARED else []),
        notes.intervals(table),
    ]
    return page(results[0]["study"], lines, table, facts(table, results))


def facts(table: Sequence[Row], results: Sequence[Result]) -> dict[str, str]:
    """Notes on a table, by heading."""
    design, regime = Design[table[0].design], table[0].regime
    if design is Design.ladder:
        found = {f"Agreement with the paper ({REGIMES[paper_regime(regime)][0]})": agreement(table)}
    else:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in variants(design, regime) if each.reason)
        found = {
            "Agreement with the paper": "it has none of these networks",
            "Cannot be combined": reasons or "none: every variant is a network",
        }
    found |= notes.sensitivity(table, results[0]["test_images"])
    if different := deviations(results):
        found[DEVIATIONS] = "; ".join(f"{key} {here} (paper: {paper})" for key, here, paper in different)
    return found | notes.provenance(results)


def _place(result: Result) -> Path:
    """The path of a result in the directory of its study."""
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


def main(words: list[str]) -> int:
    """Write the table of a study from its result files: ladder.csv, ladder.md and ladder.tex in results/<study>.

        python scripts/collate.py                              the default study
        python scripts/collate.py study=smoke                  another study
        python scripts/collate.py study=smoke recipe.smoothing=0   the study of a sweep, named by the same words

    Reads <runs_dir>/<study>, at any moment of a sweep. Without that directory, it reads the result files kept in
    <results_dir>/<study>/runs when the table was last written. runs.csv has every metric of every run.
    """
    from roadmap.cli import study_options

    chosen = study_options(words, {})
    for path in collate(chosen["study"], Path(chosen["runs_dir"]), Path(chosen["results_dir"]), print):
        print(path)
    return 0

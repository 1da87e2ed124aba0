"""From the result files of a study to its table, and the notes on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap.config.designs import base_of, variants
from roadmap.config.schema import Design, StepConfig
from roadmap.config.step_files import read_ladder
from roadmap.config.steps import steps
from roadmap.errors import Report
from roadmap.files import write_atomic
from roadmap.results import curves, notes, tuned
from roadmap.results.compatibility import design_of, ladder_of, purpose_of
from roadmap.results.markup import page, to_latex
from roadmap.results.paper import AGREEMENT, agreement, deviations, reference_regime, with_paper
from roadmap.results.sources import Found, Result, directories, finished_results, joined_curves, keep
from roadmap.results.table import Row, long_rows, summarize, to_csv
from roadmap.runs import TUNING

if TYPE_CHECKING:
    from pandas import DataFrame

COMPARED = {
    Design.leave_one_out.name: "The parent is the end of the main sequence; each step is that network without one "
    "change. Below zero, the network was better with the change.",
    Design.add_one.name: "The parent is the start of the main sequence; each step is that network with one change "
    "alone. Above zero, the change is of use without the others.",
}


def collate(
    study: str,
    runs_dir: Path = Path("runs"),
    results_dir: Path = Path("results"),
    say: Report = lambda _line: None,
    *,
    bad: Report | None = None,
) -> list[Path]:
    """Write ladder.csv, .md and .tex of a study to <results_dir>/<study>, and beside them runs.csv and curves.csv.

    Reads the `directories` of the study. Results in <runs_dir>/<study> are copied to <results_dir>/<study>/runs, where
    they outlive the runs. Returns the paths of the tables.
    A ConfigError if there is no finished run, or if there are runs that do not belong into one table. A file that is
    damaged or wrong is left out if `bad` takes a line about it, else it is a ConfigError too.
    """
    places = directories(study, results_dir, runs_dir)
    found = finished_results(study, places, say, bad=bad)
    contents, directory = tables(found, places, bad), results_dir / study
    keep({path: result for path, result in found.items() if path.is_relative_to(places[0])}, directory / "runs")
    return write_tables(contents, directory)


def tidy(study: str, runs_dir: Path, results_dir: Path) -> "DataFrame":
    """One row per run and number of a study, steps in ladder order (ConfigError: there is no finished run)."""
    results = [*finished_results(study, directories(study, results_dir, runs_dir)).values()]
    order = {row.step: index for index, row in enumerate(blank_rows(results))}
    frame = long_rows(sorted(results, key=lambda result: (order[result["step"]], result["seed"])))
    return frame.astype({"seed": int, "value": float})


def tables(found: Found, places: Sequence[Path], bad: Report | None = None) -> dict[str, str]:
    """The files that results make: name and text; no text if there is nothing to write."""
    results, record = [*found.values()], tuned.recorded(places)
    table = rows(results)
    if record:
        table = tuned.beside_untuned(table, record)
    return {
        "ladder.csv": to_csv(table),
        "ladder.md": report(table, results, record),
        "ladder.tex": to_latex(table),
        "runs.csv": long_rows(results).to_csv(index=False, lineterminator="\n"),
        curves.CURVES: curves.to_csv(joined_curves(found, places, bad)),
        TUNING: tuned.text_of(record) if record else "",
    }


def write_tables(contents: Mapping[str, str], directory: Path) -> list[Path]:
    """Write what `tables` returns into a directory; returns the paths of the tables."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        if text:
            write_atomic(directory / name, text)
        else:
            (directory / name).unlink(missing_ok=True)
    return [directory / name for name in contents if name.startswith("ladder.")]


def rows(results: Sequence[Result]) -> list[Row]:
    """The table of a study: one row per step, in ladder order."""
    return summarize(long_rows(results), blank_rows(results), results[0]["test_images"])


def blank_rows(results: Sequence[Result]) -> list[Row]:
    """The rows of a study before any run, in ladder order, with the steps of one's own that no file defines.

    A design has its base first, then its variants in the order of their changes.
    """
    first, ladder, design = results[0], ladder_of(results[0]), design_of(results[0])
    regime, data, purpose = first["regime"], first["config"]["data"]["name"], purpose_of(first)
    chance = 100 / first["config"]["data"]["num_classes"]

    def row(name: str, parent: str | None, group: str, title: str, main_sequence: bool = False) -> Row:
        own = (first["study"], ladder, regime, data, name, parent, group, title, main_sequence)
        return with_paper(Row(*own, design=design.name, purpose=purpose.name, chance=chance))

    known = steps(ladder=ladder)
    if design is Design.ladder:
        blank = [row(step.name, step.parent, step.group, step.title, step.main_sequence) for step in known]
    else:
        base = base_of(design, known)
        blank = [row(base.name, None, base.group, base.title, True)]
        possible = [variant for variant in variants(design, regime, ladder) if not variant.reason]
        blank += [row(variant.name, base.name, variant.step.group, variant.title) for variant in possible]
    names, titles = {each.step for each in blank}, {each.title for each in blank}
    for name, own in sorted({result["step"]: result for result in reversed(results)}.items()):
        if name not in names:
            # A step made on the command line has the title of the step it was made from, unless it was given its own.
            title = name if own["title"] in titles else own["title"]
            blank.append(row(name, own["parent"], own["group"], title))
    if design is Design.ladder:
        place = read_ladder(ladder).place
        blank.sort(key=lambda each: place(StepConfig(each.step, each.parent, "", each.group, each.title)))
    return blank


def report(table: Sequence[Row], results: Sequence[Result], record: Mapping[str, Any] | None = None) -> str:
    """The table as a page of Markdown, with notes; `record` is that of a tuned study."""
    held = results[0]["config"]["data"].get("holdout", 0.0)
    which = f" that were held out of the training images ({held:.3g} of each class)" if held else ""
    compared = table[0].compared
    lines = [
        f"Top-1 on {results[0]['test_images']:,} images{which}, raw weights, mean over n seeds"
        + ("; changes to the parent." if compared else "."),
        *([COMPARED[table[0].design]] if compared and table[0].design in COMPARED else []),
        *([f"Tuned: {tuned.note(record)}."] if record else []),
        notes.intervals(table),
    ]
    different = deviations(results) if compared else []
    return page(results[0]["study"], lines, table, facts(table, results), different)


def facts(table: Sequence[Row], results: Sequence[Result]) -> dict[str, str]:
    """Notes on a table, by heading."""
    design, regime, ladder = Design[table[0].design], table[0].regime, table[0].ladder
    source, found = reference_regime(ladder, regime), {}
    if not table[0].compared:
        return notes.provenance(results)
    if design is not Design.ladder:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in variants(design, regime, ladder) if each.reason)
        found = {AGREEMENT: "it has none of these networks"} if source else {}
        found["Cannot be combined"] = reasons or "none: every variant is a network"
    elif source:
        heading, text = agreement(table)
        found[heading] = text
    found |= notes.sensitivity(table, results[0]["test_images"])
    return found | notes.provenance(results)


def main(words: list[str]) -> int:
    """Write the table of a study from its result files: ladder.csv, ladder.md and ladder.tex in results/<study>.

        python scripts/collate.py                              the default study
        python scripts/collate.py study=smoke                  another study
        python scripts/collate.py study=smoke recipe.smoothing=0   the study of a sweep, named by the same words

    Reads <runs_dir>/<study>, at any moment of a sweep. Results are copied to <results_dir>/<study>/runs, so that the
    table can be made again without the runs; those of <results_dir>/published/<study> are joined in. To leave a run
    out, remove its directory from both places. runs.csv has every metric of every run.
    Exit code: 0 all files used, 1 some are damaged or wrong and were left out, 2 refused.
    """
    from roadmap.cli import study_options, warned

    chosen = study_options(words, {})
    runs_dir, results_dir, bad = Path(chosen["runs_dir"]), Path(chosen["results_dir"]), list[str]()
    for path in collate(chosen["study"], runs_dir, results_dir, print, bad=bad.append):
        print(path)
    return warned(bad)

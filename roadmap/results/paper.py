"""Published numbers that a ladder is compared with, and how a study agrees with them; the paper's own table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from roadmap.config.acting import acts
from roadmap.config.conf import reference
from roadmap.config.identity import flatten
from roadmap.config.schema import StudyConfig
from roadmap.config.step_files import Reference, ReferenceRegime, read_ladder
from roadmap.config.steps import steps
from roadmap.data.datasets import DATASETS
from roadmap.files import write_atomic
from roadmap.numbers import written
from roadmap.results import notes
from roadmap.results.compatibility import ladder_of
from roadmap.results.markup import page
from roadmap.results.table import Row, to_csv, with_changes

STUDY = "paper"
AGREEMENT, ENDS = "Agreement with the paper", "First and last step, here and in the paper"  # headings of notes
IMAGES = DATASETS["imagenet"].images[1]  # of the validation set


class Published(NamedTuple):
    """A row of a table of published numbers."""

    top1: float  # on ImageNet-1K, in percent
    gflops: float  # as printed
    top1_std: float | None  # over three seeds; None where it is not published


def reference_regime(ladder: str, regime: str) -> ReferenceRegime | None:
    """The published size to compare with: `regime` itself if it was published, else the first; None without numbers."""
    source = read_ladder(ladder).options.reference
    return None if source is None else source.regimes[_published_regime(source, regime)]


def published(regime: str, ladder: str = StudyConfig.ladder) -> dict[str, Published]:
    """The published rows for a regime, by step; none for a ladder without a reference.

    The paper has no steps between the original recipe and the modern one; of that ladder it has the two ends.
    """
    source = read_ladder(ladder).options.reference
    if source is None:
        return {}
    paper = {
        row["step"]: Published(float(row["top1"]), float(row["gflops"]), float(row["top1_std"] or 0) or None)
        for row in _rows(source, regime)
        if row["adopted"] != "reference"
    }
    return {step: paper[row] for step, row in source.steps.items()} or paper


def to_beat(regime: str, ladder: str = StudyConfig.ladder) -> tuple[str, float] | None:
    """The network that the publication compares with, and its top-1: ("Swin-T", 81.3); None where it names none."""
    source = read_ladder(ladder).options.reference
    found = [row for row in (_rows(source, regime) if source else []) if row["adopted"] == "reference"]
    if not source or source.steps or not found:
        return None
    family, size = found[0]["step"].split("_")
    return f"{family.title()}-{size.upper()}", float(found[0]["top1"])


def with_paper(row: Row) -> Row:
    """A row with the paper's accuracy and change, where it has them and the row's own numbers mean something."""
    paper = published(row.regime, row.ladder)
    here, parent = paper.get(row.step), paper.get(row.parent or "")
    if here is None or not row.compared:
        return row
    return replace(row, paper_top1=here.top1, paper_change=round(here.top1 - parent.top1, 2) if parent else None)


def agreement(table: Sequence[Row]) -> tuple[str, str]:
    """Heading and text: how the steps of a table that learned something agree with the paper's.

    Kendall's tau and the signs of the changes; where the paper has both ends of the ladder alone, their difference.
    """
    title = getattr(reference_regime(table[0].ladder, table[0].regime), "title", "")
    if not any(row.paper_change is not None for row in table):
        return f"{ENDS} ({title})", _change_of_ends(table)
    learned = {row.step for row in table if row.learned}
    levels = [(row.top1, row.paper_top1) for row in table if row.step in learned and row.paper_top1 is not None]
    changed = [row for row in table if {row.step, row.parent} <= learned and row.paper_change is not None]
    every, significant = (
        [(row.change, row.paper_change) for row in rows]
        for rows in (changed, [row for row in changed if row.significant])
    )
    return f"{AGREEMENT} ({title})", notes.agreement(levels, every, significant, "significant ones")


def deviations(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Deviations from the paper: key, values here, values in the paper, of the options that act in these runs.

    Of old results only the seeds are known. A ladder without a reference has none.
    """
    source = reference_regime(ladder_of(results[0]), results[0]["regime"])
    if source is None:
        return []
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for result in results:
        config = flatten(result["config"])
        for key, pair in result.get("deviations", {}).items():
            for values, value in zip(found.setdefault(key, ({}, {})), pair, strict=True) if acts(key, config) else ():
                values[written(value)] = None
    listed = [(key, " or ".join(here), " or ".join(paper)) for key, (here, paper) in found.items()]
    seeds = [str(n) for n in sorted(set(Counter(result["step"] for result in results).values()))]
    theirs = str(source.seeds)
    return listed + ([("seeds", " or ".join(seeds), theirs)] if seeds != [theirs] else [])


def paper_rows() -> list[Row]:
    """Table 10 as a table of this project. A step without a published deviation counts as one seed.

    GFLOPs are those printed.
    """
    first, paper = steps()[0], published("")
    regime, source = first.regime, reference_regime(first.ladder, first.regime)
    rows = [
        Row(
            *(STUDY, step.ladder, regime, "imagenet", step.name, step.parent, step.group, step.title),
            main_sequence=step.main_sequence,
            n=source.seeds if source and paper[step.name].top1_std is not None else 1,
            **paper[step.name]._asdict(),
        )
        for step in steps(regime)
        if step.name in paper
    ]
    return with_changes(rows, IMAGES)


def main(words: list[str]) -> int:
    """Write the table of the paper's own three seeds: ladder.csv and ladder.md in results/paper.

        python scripts/paper.py
        python scripts/paper.py results_dir=elsewhere

    The published means and standard deviations go through the statistics of any study.
    """
    from roadmap.cli import options

    directory = Path(options(words, {"results_dir": "results"})["results_dir"]) / STUDY
    directory.mkdir(parents=True, exist_ok=True)
    table = paper_rows()
    sequence = notes.significance([row for row in table if row.main_sequence])
    facts = {
        **notes.significance(table),
        **{f"Main sequence alone: {key[0].lower()}{key[1:]}": text for key, text in sequence.items()},
        **notes.sensitivity(table, IMAGES),
    }
    lines = [
        "Table 10 of arXiv 2201.03545 (roadmap/reference/convnext_paper.csv) through the statistics of "
        "docs/statistics.md. Made by `python scripts/paper.py`.",
        f"Top-1 on {IMAGES:,} images of ImageNet, raw weights, mean over n seeds; changes to the parent; "
        "GFLOPs as printed.",
        notes.intervals(table),
    ]
    for name, text in {"ladder.csv": to_csv(table), "ladder.md": page("the paper", lines, table, facts)}.items():
        write_atomic(directory / name, text)
        print(directory / name)
    return 0


def _change_of_ends(table: Sequence[Row]) -> str:
    """The change from the first to the last step that the paper has."""
    first, *_, last = [row for row in table if row.paper_top1 is not None]
    known = first.learned and last.learned
    change = f"{(last.top1 or 0) - (first.top1 or 0):+.2f}" if known else "not known yet"
    paper = (last.paper_top1 or 0) - (first.paper_top1 or 0)
    return f"from {first.step} to {last.step} {change}, in the paper {paper:+.2f}; it has no steps between them"


def _published_regime(source: Reference, regime: str) -> str:
    return regime if regime in source.regimes else next(iter(source.regimes))


def _rows(source: Reference, regime: str) -> list[dict[str, str]]:
    return [row for row in reference(source.table) if row["regime"] == _published_regime(source, regime)]

"""The paper's own three seeds through the same statistics as any study's: results/paper."""

from collections.abc import Sequence
from pathlib import Path

from roadmap.config.schema import Ladder
from roadmap.config.steps import steps
from roadmap.data.datasets import DATASETS
from roadmap.files import write_atomic
from roadmap.results.changes import with_changes
from roadmap.results.conclusions import intervals, sight, told
from roadmap.results.paper import published
from roadmap.results.statistics import one_run
from roadmap.results.table import Row, to_markdown, write_csv

STUDY, REGIME, SEEDS = "paper", "resnet50", 3
IMAGES = DATASETS["imagenet"].images[1]


def paper_rows() -> list[Row]:
    """The rungs of Table 10, with what three seeds allow to conclude; GFLOPs as printed.

    A rung without a published deviation counts as one seed, which has no interval.
    """
    paper, table = published(REGIME), list[Row]()
    for step in steps(REGIME):
        if step.name not in paper:
            continue
        rung = paper[step.name]
        low, high = one_run(rung.top1, IMAGES)
        table.append(
            Row(
                *(STUDY, Ladder.network.name, REGIME, "imagenet", step.name, step.parent, step.group, step.title),
                main_sequence=step.main_sequence,
                n=1 if rung.top1_std is None else SEEDS,
                top1=rung.top1,
                top1_std=rung.top1_std,
                one_run_low=low,
                one_run_high=high,
                gflops=rung.gflops,
            )
        )
    return with_changes(table)


def write_paper_table(results_dir: Path = Path("results")) -> list[Path]:
    """Write ladder.csv and ladder.md of the paper's three seeds; returns their paths."""
    table = paper_rows()
    directory = results_dir / STUDY
    directory.mkdir(parents=True, exist_ok=True)
    written = {"ladder.csv": write_csv(table), "ladder.md": _page(table)}
    for name, text in written.items():
        write_atomic(directory / name, text)
    return [directory / name for name in written]


def _page(table: Sequence[Row]) -> str:
    path = [row for row in table if row.main_sequence]
    facts = {
        **told(table),
        **{f"Of the path alone: {key[0].lower()}{key[1:]}": text for key, text in told(path).items()},
        **sight(table, IMAGES),
    }
    lines = [
        "# The ladder: the paper",
        "",
        "Table 10 of arXiv 2201.03545 (../convnext_paper.csv) through the statistics of docs/statistics.md. "
        "Made by `python scripts/paper.py`.",
        f"Top-1 on {IMAGES:,} images of ImageNet, raw weights, mean over n seeds; changes to the parent; "
        "GFLOPs as printed.",
        intervals(table),
        "",
        to_markdown(table),
        *(f"- {key}: {value}" for key, value in facts.items()),
    ]
    return "\n".join(lines) + "\n"

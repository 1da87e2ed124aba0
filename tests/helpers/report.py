"""A half-finished study and its report, for the tests of report data, drawings, charts and page."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from helpers.synthetic import ROOT, ladder, result, write
from roadmap.report.charts import charts
from roadmap.report.content import gather
from roadmap.results.collate import collate

RESULTS = ROOT / "results"


def write_metrics(study: Path, results: list[dict[str, Any]]) -> None:
    """Write two epochs of metrics beside every result; losses and accuracies differ between runs."""
    for index, each in enumerate(results):
        lines = [
            {"epoch": e, "loss": 2.0 / e + index / 100, "top1": 40.0 * e + index / 10, "ema_top1": 30.0 * e, "lr": 0.1}
            for e in (1, 2)
        ]
        path = study / each["step"] / f"seed-{each['seed']}" / "metrics.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def half_finished(root: Path) -> Path:
    """The results directory of a study with finished runs of three steps of the ladder and of a custom one."""
    own = result(
        "mine", like="gelu", correct=8300, step__parent="gelu", step__title="</script> & mine", model__width=32
    )
    done = [r for r in ladder(seeds=2) if r["step"] in ("resnet", "training_recipe", "gelu")]
    write_metrics(write(root / "runs", [*done, own]), [*done, own])
    collate("smoke", root / "runs", root / "results")
    return root / "results"


def by_step(report: dict[str, Any]) -> dict[str, Any]:
    return {step["step"]: step for step in report["steps"]}


@cache
def drawn(study: str, directory: Path = RESULTS) -> dict[str, Any]:
    """The charts of a study."""
    return charts(gather(study, directory))

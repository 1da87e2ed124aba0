"""A half-finished study and its report, for the tests of report data, drawings, charts and page."""

from functools import cache
from pathlib import Path
from typing import Any

from helpers.synthetic import ROOT, ladder, result, stored_answers, write
from roadmap.report.charts import charts
from roadmap.report.content import gather
from roadmap.results.collate import collate
from roadmap.runs import METRICS, json_lines

RESULTS = ROOT / "results" / "published"
gathered = cache(gather)


def half_finished(root: Path) -> Path:
    """The results directory of a study with finished runs of three steps of the ladder and of a custom one."""
    changes = {"step__parent": "gelu", "step__title": "</script> & mine", "model__width": 32}
    done = [r for r in ladder(seeds=2) if r["step"] in ("resnet", "training_recipe", "gelu")]
    done.append(result("mine", like="gelu", correct=8300, **changes))
    for each in done[:-1]:
        each["answers"] = stored_answers(each)
    study = write(root / "runs", done)
    for i, each in enumerate(done):  # losses and accuracies differ between runs
        values = [{"loss": 2.0 / e + i / 100, "top1": 40.0 * e + i / 10, "ema_top1": 30.0 * e} for e in (1, 2)]
        lines = [{"epoch": epoch, "lr": 0.1} | value for epoch, value in enumerate(values, start=1)]
        (study / each["step"] / f"seed-{each['seed']}" / METRICS).write_text(json_lines(lines))
    collate("smoke", root / "runs", root / "results")
    return root / "results"


@cache
def drawn(study: str, directory: Path = RESULTS) -> dict[str, Any]:
    """The charts of a study."""
    return charts(gathered(study, directory))

"""The report of a study as one page that needs nothing but itself: data, drawings, charts and what draws them."""

import json
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from roadmap.cli import duration
from roadmap.files import write_atomic
from roadmap.report.bars import GROUPS, INK
from roadmap.report.charts import COSTS, charts, costs, front
from roadmap.report.content import Data, gather
from roadmap.report.figure import about
from roadmap.results.table import rate

PAGE = "index.html"
CONCLUSIONS = (
    ("told", "Told from zero", "By p with Holm's correction for all changes of the ladder, below 0.05."),
    (
        "alone",
        "Told from zero if asked alone",
        "The interval leaves zero out, but so would one in twenty of changes that do nothing.",
    ),
    ("untold", "Not told from zero", "Chance between seeds is enough to explain these; they may still be real."),
    ("single", "Without an interval", "It takes two seeds of the rung and of its parent."),
    ("blank", "Not run yet", "Or the parent was not: there is no change to speak of."),
)
"""What may be said of changes: key, heading, and what it rests on."""


def build(study: str, results_dir: Path = Path("results")) -> Path:
    """Write <results_dir>/<study>/index.html from what lies beside it; returns its path.

    Raises:
        ConfigError: the study has no table yet, or what it was made from is damaged.
    """
    report = gather(study, results_dir)
    path = results_dir / study / PAGE
    write_atomic(path, render(report, charts(report), vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))
    return path


def render(report: Data, drawn: dict[str, Data], library: str) -> str:
    """The page of a report and its charts, with `library` as the script that draws them (it defines vegaEmbed)."""
    colours = {f"group-{key}": "var(--ink)" if colour == INK else colour for key, (_, colour) in GROUPS.items()}
    known = [rung for rung in report["rungs"] if rung["top1"] is not None]
    fronts = {key: (COSTS[key][0], [rung["title"] for rung in front(known, key)]) for key in costs(report)}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html").render(
        report=report,
        title=about(report["ladder"], report["design"]),
        time=duration(report["seconds"]),
        rate=rate,
        colours=colours,
        groups={rung["colour"]: rung["group_name"] for rung in report["rungs"]},
        fronts=fronts,
        conclusions=CONCLUSIONS,
        has_agreement="agreement" in drawn,
        vega_lite=vl_convert.get_vegalite_versions()[-1],
        report_json=_script(report),
        charts_json=_script(drawn),
        library=library.replace("</script", "<\\/script"),
    )


def _script(content: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")

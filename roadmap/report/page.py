"""The report of a study as one self-contained HTML file: built, opened in a browser, photographed."""

import json
import os
import shutil
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roadmap.errors import ConfigError, Report
from roadmap.files import write_atomic


def build(study: str, results_dir: Path = Path("results"), bad: Report | None = None) -> Path:
    """Write <results_dir>/<study>/index.html from the table and results of the study; returns its path.

    Errors: see `gather`.
    """
    import vl_convert

    from roadmap.report.charts import charts
    from roadmap.report.content import gather

    report = gather(study, results_dir, bad)
    path = results_dir / study / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render(report, charts(report), vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))
    return path


def render(report: dict[str, Any], drawn: dict[str, Any], library: str) -> str:
    """The page of a report and its charts; `library` is the script that defines vegaEmbed."""
    import jinja2
    import vl_convert

    from roadmap.report.charts import cost_axis, costs, front
    from roadmap.report.content import SIGNIFICANCE
    from roadmap.report.style import groups

    known = [step for step in report["steps"] if step["top1"] is not None]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html").render(
        report=report,
        colours={f"group-{key}": colour for key, (_, colour) in groups(report["ladder"]).items()}
        | {"group-own": "var(--ink)"},
        groups={step["colour"]: step["group_title"] for step in report["steps"]},
        fronts={
            key: (cost_axis(known, key)[0], [step["title"] for step in front(known, key)]) for key in costs(report)
        },
        significance=SIGNIFICANCE,
        has_agreement="agreement" in drawn,
        vega_lite=vl_convert.get_vegalite_versions()[-1],
        report_json=_script(report),
        charts_json=_script(drawn),
        library=library.replace("</script", "<\\/script"),
    )


def _script(content: Any) -> str:
    """JSON that may stand in a script element."""
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)  # no browser reads NaN
    return json.dumps(finite, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's chromium as a Playwright browser, headless (ConfigError: chromium or Playwright is not installed)."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        needs = "chromium (apt-get install chromium) and playwright (pip install playwright)"
        raise ConfigError(f"screenshot: needs {needs}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, page: Path, **context: Any) -> Iterator[Any]:
    """A tab with the page, its charts drawn; `context`: arguments of Playwright's new_context, like viewport."""
    with browser.new_context(**context) as fresh:
        tab = fresh.new_page()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
        yield tab


def screenshot(browser: Any, page: Path, target: Path) -> None:
    """Write the top of the page with the tooltip of one step as PNG, at 1.5 device pixels per CSS pixel."""
    with opened(browser, page, viewport={"width": 1180, "height": 1080}, device_scale_factor=1.5) as tab:
        steps = tab.locator('[data-chart="levels"] path[role="graphics-symbol"]')
        steps.nth(steps.count() * 2 // 3).hover()
        tab.locator("#vg-tooltip-element.visible").wait_for()
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, tab.screenshot(type="png"))


def main(words: list[str]) -> int:
    """Build the report of a study, results/<study>/index.html, print the table, and open the page in a browser.

        python scripts/view.py                              the default study
        python scripts/view.py study=imagenet               another study, or one named by the words of its sweep
        python scripts/view.py screenshot=docs/report.png   a picture of the page; needs chromium and playwright

    Reads <results_dir>/<study>, which scripts/collate.py writes, at any moment of a sweep; without it, the published
    results. Exit code: 0 all files used, 1 some are damaged or wrong and were left out, 2 refused.
    """
    from roadmap.cli import study_options, warned
    from roadmap.results.table import table_of

    chosen = study_options(words, {"screenshot": ""})
    bad = list[str]()
    page = build(chosen["study"], Path(chosen["results_dir"]), bad.append)
    print(table_of(chosen["study"], Path(chosen["results_dir"])).with_suffix(".md").read_text())
    if chosen["screenshot"]:
        with chromium() as browser:
            screenshot(browser, page, Path(chosen["screenshot"]))
        print(Path(chosen["screenshot"]).resolve())
    elif sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.resolve().as_uri())
    print(page.resolve())  # last, after all that a browser says
    return warned(bad)

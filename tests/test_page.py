"""The report as an HTML file; test_view.py opens it in a browser."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from helpers.report import RESULTS, drawn, gathered
from helpers.synthetic import run

from roadmap.errors import ConfigError
from roadmap.report.page import _script, build, render
from roadmap.runs import read_result

pytestmark = pytest.mark.xdist_group("report")


def page_of(study: str, directory: Path = RESULTS, **changes: Any) -> str:
    """The page of a study, some of its data changed."""
    return render(gathered(study, directory) | changes, drawn(study, directory), "void 0;")


class Loads(HTMLParser):
    """The URLs that a page would fetch, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        for key in ("src", "href", "srcset", "data", "poster", "action"):
            if given.get(key) and tag != "a":
                self.found.append(f"{tag} {given[key]}")


def embedded(page: str, name: str) -> Any:
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(text)


@pytest.mark.parametrize("study", ["fashion_mnist", "fashion_mnist_recipe", "smoke"])
def test_the_page_holds_its_data_exactly_and_loads_nothing(study: str, half: Path) -> None:
    directory = half if study == "smoke" else RESULTS
    report, page = gathered(study, directory), page_of(study, directory)
    assert embedded(page, "report") == json.loads(json.dumps(report))
    assert embedded(page, "charts") == drawn(study, directory)
    loads = Loads()
    loads.feed(page)
    assert loads.found == ["link data:,"]
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert "url(" not in style and "@import" not in style
    assert len(loads.ids) == len(set(loads.ids))
    assert {f"step-{step['step']}" for step in report["steps"]} < set(loads.ids)
    assert set(re.findall(r'data-chart="(\w+)"', page)) == set(drawn(study, directory))


def test_titles_are_escaped_and_deviations_from_the_paper_listed(half: Path) -> None:
    page = page_of("smoke", half)
    assert "</script> & mine" not in page and "&lt;/script&gt; &amp; mine" in page
    assert '<code>data.\u200bname</code></th><td class="text" data-label="here">fashion_mnist</td>' in page_of(
        "fashion_mnist_recipe"
    )


def test_classes_are_shown_where_results_keep_them_and_said_to_be_unknown_where_not(half: Path) -> None:
    page, old = page_of("smoke", half), page_of("fashion_mnist")
    steps = {step["step"]: step["classes"] for step in gathered("smoke", half)["steps"]}
    assert {name for name, known in steps.items() if known} == {"resnet", "training_recipe", "gelu"}
    missing = "Not known: these results are older than the answers on test images in result files."
    assert (page.count(missing), old.count(missing)) == (1, 18), "of the step of one's own; of all published ones"
    assert (page.count("Accuracy by class"), page.count("Most frequent confusions")) == (3, 3)
    assert page.count("Predicted class of each true class") == 3 and page.count("Difference to the parent, points") == 1
    assert 'class="matrix"' not in old and '<th scope="row">0 T-shirt/top</th>' in page


def test_missing_curves_are_explained() -> None:
    point = {"step": "gelu", "seed": 0, "epoch": 1, "loss": 1.0, "top1": 50.0, "ema_top1": 50.0}
    for curves in ([], [point]):
        page = page_of("fashion_mnist", curves=curves)
        assert ("No curves are kept for this study" in page) == (not curves)


def test_further_metrics_are_columns() -> None:
    report = gathered("fashion_mnist", RESULTS)
    steps = [step | {"cells": [*step["cells"], (0.13, "0.13 ± 0.014")]} for step in report["steps"]]
    page = page_of("fashion_mnist", columns=[*report["columns"], ("ece", "ece")], steps=steps)
    assert "<button>ece</button>" in page
    assert page.count('<td data-sort="0.13">0.13 ± 0.014</td>') == len(steps)


def test_the_command_builds_the_page_without_torch(half: Path) -> None:
    done = run("study=smoke", f"results_dir={half}", cwd=half, script="view")
    assert (done.returncode, done.stderr) == (0, "False\n")
    page = half / "smoke" / "index.html"
    assert done.stdout.splitlines()[0] == "# The ladder: smoke" and done.stdout.splitlines()[-1] == str(page)
    assert 500_000 < page.stat().st_size < 2_000_000
    assert "vegaEmbed" in page.read_text()


def test_nothing_is_written_for_an_unknown_study(tmp_path: Path) -> None:
    message = r"^study=smoke: no .*ladder.csv; first run: python scripts/collate.py study=smoke$"
    with pytest.raises(ConfigError, match=message):
        build("smoke", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_given_json_without_numbers_that_no_browser_reads() -> None:
    given = _script({"a": [math.nan, math.inf, -math.inf, 1.5], "b": "NaN </script>"})
    assert given == '{"a": [null, null, null, 1.5], "b": "NaN \\u003c/script>"}'


def test_words_are_explained_and_files_linked(half: Path) -> None:
    page = build("smoke", half)
    text = page.read_text()
    assert "How to read this" in text
    for words in ("seeds: how often the step was trained", "multiply-adds per image in a forward pass"):
        assert f'<button title="{words}' in text
    links = re.findall(r'<a download href="([^"]+)">([^<]+)</a>', text)
    assert {name for _, name in links} == {"ladder.csv", "ladder.md", "ladder.tex", "runs.csv", "curves.csv"}
    assert all((page.parent / path).samefile(page.parent / name) for path, name in links)
    assert '<a href="../../conf/ladder/network/gelu.yaml">' in text and "conf/ladder/network/mine.yaml" not in text
    (config,) = re.findall(r'<a download="gelu.yaml" href="data:application/yaml;charset=utf-8,([^"]+)"', text)
    stored = read_result(half.parent / "runs" / "smoke" / "gelu" / "seed-0" / "result.json")["config"]
    assert yaml.safe_load(unquote(config)) == stored

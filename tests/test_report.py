"""The report as data, drawings, charts and a page; what a browser makes of it is in test_view.py."""

import json
import re
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic import ladder, result, run, write

from roadmap.config.schema import Op
from roadmap.config.steps import model_config
from roadmap.errors import ConfigError
from roadmap.report.blocks import drawings
from roadmap.report.charts import charts, front
from roadmap.report.content import gather
from roadmap.report.page import build, render
from roadmap.results import curves
from roadmap.results.collate import collate
from roadmap.results.table import read_csv
from roadmap.runs import json_lines

RESULTS = Path(__file__).parents[1] / "results"


def with_metrics(study: Path, results: list[dict[str, Any]]) -> None:
    """Beside every result two epochs of metrics; the loss and accuracies tell the runs apart."""
    for index, each in enumerate(results):
        lines = [
            {"epoch": e, "loss": 2.0 / e + index / 100, "top1": 40.0 * e + index / 10, "ema_top1": 30.0 * e, "lr": 0.1}
            for e in (1, 2)
        ]
        (study / each["step"] / f"seed-{each['seed']}" / "metrics.jsonl").write_text(json_lines(lines))


def half_finished(root: Path) -> Path:
    """The results directory of a study in which three rungs of the path, and one of a person's own, have run."""
    own = result(
        "mine", like="gelu", correct=8300, step__parent="gelu", step__title="</script> & mine", model__width=32
    )
    done = [r for r in ladder(seeds=2) if r["step"] in ("resnet", "training_recipe", "gelu")]
    with_metrics(write(root / "runs", [*done, own]), [*done, own])
    collate("smoke", root / "runs", root / "results")
    return root / "results"


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_finished(tmp_path_factory.mktemp("half"))


def by_rung(report: dict[str, Any]) -> dict[str, Any]:
    return {rung["step"]: rung for rung in report["rungs"]}


@cache
def drawn(study: str, directory: Path = RESULTS) -> dict[str, Any]:
    return charts(gather(study, directory))


def page_of(study: str, directory: Path = RESULTS) -> str:
    return render(gather(study, directory), drawn(study, directory), "void 0;")


# The data


def test_the_data_are_the_tables(half: Path) -> None:
    for study, directory in (("fashion_mnist", RESULTS), ("fashion_mnist_recipe", RESULTS), ("smoke", half)):
        table = {row.step: row for row in read_csv(directory / study / "ladder.csv")}
        report = gather(study, directory)
        assert list(by_rung(report)) == list(table)
        for rung in report["rungs"]:
            row = table[rung["step"]]
            for key in ("n", "top1", "top1_std", "change", "change_low", "change_high", "significant", "p_holm",
                        "params", "gflops", "images_per_second", "seconds", "paper_top1", "paper_change"):  # fmt: skip
                known = getattr(row, key)
                assert rung[key] == (known if known is None else pytest.approx(known, abs=1e-6)), (row.step, key)


def test_a_rung_says_in_words_what_its_row_says_in_numbers() -> None:
    words = by_rung(gather("fashion_mnist", RESULTS))["gelu"]["words"]
    row = next(row for row in read_csv(RESULTS / "fashion_mnist" / "ladder.csv") if row.step == "gelu")
    assert words["top1"] == f"{row.top1:.2f} ± {row.top1_std:.2f} %, n = {row.n}"
    interval = f"{row.change:+.2f} [{row.change_low:+.2f}, {row.change_high:+.2f}]"
    assert words["change"].startswith(f"{interval} over Kernel size 7, told from zero (p 0.")
    assert words["cost"].startswith(f"{row.params:,} parameters, 0.00148 GFLOPs, {row.images_per_second:,.0f} images/s")
    assert words["delta"] == "model.act: relu → gelu"


def test_the_costs_by_stage_add_up_to_what_was_counted_in_training() -> None:
    for study in ("fashion_mnist", "fashion_mnist_recipe"):
        for rung in gather(study, RESULTS)["rungs"]:
            assert sum(part["params"] for part in rung["stages"]) == rung["params"], rung["step"]
            assert sum(part["macs"] for part in rung["stages"]) == pytest.approx(1e9 * rung["gflops"]), rung["step"]


def test_what_is_not_known_stays_blank(half: Path) -> None:
    rungs = by_rung(gather("smoke", half))
    blank = rungs["kernel_9"]
    assert (blank["n"], blank["top1"], blank["change"], blank["seconds"], blank["seeds"]) == (0, None, None, None, {})
    assert (blank["words"]["top1"], blank["words"]["cost"]) == ("not run", "")
    assert blank["delta"] == [("model.kernel_size", "3", "9")] and blank["blocks"]
    assert blank["stages"] == [] and rungs["gelu"]["stages"], "sizes of its own a study tells by its runs alone"
    conclusions = {name: rung["conclusion"] for name, rung in rungs.items()}
    assert conclusions["resnet"] is None
    assert conclusions["gelu"] == conclusions["kernel_9"] == "blank"  # the parent of gelu was not run
    assert conclusions["training_recipe"] == "told" and conclusions["mine"] == "single"


def test_a_rung_of_ones_own_says_what_it_changes_and_draws_itself(half: Path) -> None:
    mine = by_rung(gather("smoke", half))["mine"]
    assert mine["delta"] == [("model.width", "24", "32")]
    assert mine["parent_title"] == "ReLU to GELU"
    block, stem = mine["blocks"]
    assert stem["part"] == "stem" and "4×4 conv, 32, stride 4" in stem["after"]
    assert "1×1 conv, 96" in block["before"] and "1×1 conv, 128" in block["after"]


def test_rungs_of_one_title_are_told_apart(tmp_path: Path) -> None:
    two = [result(name, like="gelu", step__title="Mine") for name in ("a", "b")]
    write(tmp_path / "runs", two)
    collate("smoke", tmp_path / "runs", tmp_path / "results")
    titles = {rung["step"]: rung["title"] for rung in gather("smoke", tmp_path / "results")["rungs"]}
    assert (titles["a"], titles["b"]) == ("Mine (a)", "Mine (b)")


def test_a_design_has_a_base_and_variants_that_draw_themselves(tmp_path: Path) -> None:
    named = {"study__name": "smoke,design=leave_one_out", "study__design": "leave_one_out"}
    base = [result("layer_scale", seed, **named) for seed in (0, 1)]
    without = [result("without_gelu", s, like="gelu", step__parent="layer_scale", **named) for s in (0, 1)]
    study = write(tmp_path / "runs", base + without).name
    collate(study, tmp_path / "runs", tmp_path / "results")
    report = gather(study, tmp_path / "results")
    rungs = by_rung(report)
    assert rungs["layer_scale"]["delta"] == [] and rungs["layer_scale"]["conclusion"] is None
    assert rungs["without_gelu"]["conclusion"] == "untold"
    assert rungs["without_large_kernel"]["n"] == 0  # and yet it is known what it is
    assert rungs["without_large_kernel"]["delta"] == [("model.kernel_size", "7", "3")]
    assert "3×3 depthwise conv" in rungs["without_large_kernel"]["blocks"][0]["after"]
    page = render(report, charts(report), "")
    assert "The end of the path, each time without one change</h1>" in page
    assert "<dt>Cannot be combined</dt><dd>none: every variant is a network</dd>" in page


def test_what_the_budget_makes_of_a_recipe_is_shown_beside_the_published(half: Path) -> None:
    recipe = by_rung(gather("smoke", half))["training_recipe"]
    assert recipe["delta"] == [("recipe", "original", "modern")]
    assert ("recipe.opt", "sgd", "adamw") in recipe["differs"]


def test_without_a_table_it_says_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^study=smoke: no .*smoke; first run: python scripts/collate.py study=smoke$"
    ):
        gather("smoke", tmp_path)


# Curves


def test_curves_are_kept_of_the_runs_of_the_table_and_outlive_them(tmp_path: Path) -> None:
    results = half_finished(tmp_path)
    kept = curves.read(results / "smoke" / "curves.csv")
    assert len(kept) == 2 * 7
    assert kept[0] == ("gelu", 0, 1, 2.0 / 1 + 4 / 100, 40.4, 30.0)
    before = (results / "smoke" / "curves.csv").read_bytes()
    shutil.rmtree(tmp_path / "runs")
    collate("smoke", tmp_path / "runs", results)
    assert (results / "smoke" / "curves.csv").read_bytes() == before


def test_curves_of_runs_that_are_not_in_the_table_go(tmp_path: Path) -> None:
    results = half_finished(tmp_path)
    for path in (tmp_path / "runs").rglob("metrics.jsonl"):
        path.unlink()
    collate("smoke", tmp_path / "runs", results)
    assert not (results / "smoke" / "curves.csv").exists()
    assert gather("smoke", results)["curves"] == []


@pytest.mark.parametrize("line", ["{", '{"epoch": 1}', "[]", '{"epoch": 1, "loss": null, "top1": 1, "ema_top1": 1}'])
def test_damaged_metrics_are_refused_before_anything_is_written(tmp_path: Path, line: str) -> None:
    study = write(tmp_path / "runs", [result("gelu")])
    (study / "gelu" / "seed-0" / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"gelu/seed-0/metrics.jsonl: not metrics: "):
        collate("smoke", tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("text", ["", "rung,seed\n", "rung,seed,epoch,loss,top1,ema_top1\ngelu,0,1,2.0\n"])
def test_damaged_curves_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"curves.csv: "):
        curves.read(tmp_path / "curves.csv")


# Drawings


def texts(svg: str | None) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg or "")


def changed(svg: str | None) -> list[str]:
    return re.findall(r'class="layer \w+ changed">.*?<text[^>]*>([^<]*)<', svg or "")


def test_the_block_is_drawn_before_and_after() -> None:
    (block,) = drawings(model_config("fewer_norms", "resnet50"), model_config("layer_norm", "resnet50"))
    assert texts(block["before"]) == ["7×7 depthwise conv", "batch norm", "1×1 conv, 384", "GELU", "1×1 conv, 96", "+"]
    assert changed(block["before"]) == ["batch norm"] and changed(block["after"]) == ["layer norm"]


def test_what_else_a_rung_changes_is_drawn_too() -> None:
    drawn = drawings(model_config("layer_norm"), model_config("separate_downsampling"))
    assert [each["part"] for each in drawn] == ["block", "stem", "downsample", "head"]
    assert drawn[0]["before"] is None and changed(drawn[0]["after"]) == []
    assert texts(drawn[2]["before"]) == [] and texts(drawn[2]["after"]) == ["layer norm", "2×2 conv, stride 2"]
    assert changed(drawn[2]["after"]) == ["layer norm", "2×2 conv, stride 2"]
    assert changed(drawn[3]["after"]) == ["layer norm"]


def test_a_block_nobody_has_tried_draws_itself() -> None:
    model = model_config("gelu")
    model.block = [Op.norm, Op.conv, Op.layer_scale, Op.add, Op.act]
    (block,) = drawings(None, model)
    assert block["before"] is None
    assert texts(block["after"]) == ["batch norm", "7×7 conv", "layer scale", "+", "GELU"]


# Charts


def test_the_front_is_what_no_other_rung_beats() -> None:
    places = {"a": (1.0, 80.0), "b": (2.0, 79.0), "c": (2.0, 82.0), "d": (3.0, 82.0), "e": (4.0, 83.0)}
    rungs = [{"step": r, "gflops": x, "images_per_second": x, "top1": y} for r, (x, y) in places.items()]
    assert [rung["step"] for rung in front(rungs, "gflops")] == ["a", "c", "e"]
    assert [rung["step"] for rung in front(rungs, "images_per_second")] == ["e"]


def test_charts_are_there_as_far_as_the_data_go(half: Path) -> None:
    cost = {"gflops", "images_per_second", "seconds"}
    assert set(drawn("fashion_mnist")) >= {"levels", "changes", "agreement"} | cost
    # All rungs of the recipe ladder are one network, and of the parts of its recipe the paper says nothing.
    assert set(drawn("fashion_mnist_recipe")) == {"levels", "changes"} | cost - {"gflops"}
    found = drawn("smoke", half)
    assert {"curve_top1", "curve_loss", "agreement"} < set(found)
    assert all(chart["width"] == "container" for chart in found.values())


def test_charts_hold_the_values_of_the_table() -> None:
    report = gather("fashion_mnist", RESULTS)
    held = [values for values in drawn("fashion_mnist")["levels"]["datasets"].values() if len(values) == 18]
    assert {rung["step"]: (rung["top1"], rung["change"]) for rung in held[0]} == {
        rung["step"]: (rung["top1"], rung["change"]) for rung in report["rungs"]
    }


# The page


class Loads(HTMLParser):
    """What a page would fetch, and the text of its scripts by id."""

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
    report, page = gather(study, directory), page_of(study, directory)
    assert embedded(page, "report") == json.loads(json.dumps(report))
    assert embedded(page, "charts") == drawn(study, directory)
    loads = Loads()
    loads.feed(page)
    assert loads.found == ["link data:,"]
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert "url(" not in style and "@import" not in style
    assert len(loads.ids) == len(set(loads.ids))
    assert {f"rung-{rung['step']}" for rung in report["rungs"]} < set(loads.ids)
    assert set(re.findall(r'data-chart="(\w+)"', page)) == set(drawn(study, directory))


def test_a_title_is_no_markup(half: Path) -> None:
    page = page_of("smoke", half)
    assert "</script> & mine" not in page and "&lt;/script&gt; &amp; mine" in page


def test_curves_are_said_to_be_missing() -> None:
    said = "No curves are kept for this study"
    report = gather("fashion_mnist", RESULTS)
    assert said in render(report | {"curves": []}, drawn("fashion_mnist"), "")
    point = {"step": "gelu", "seed": 0, "epoch": 1, "loss": 1.0, "top1": 50.0, "ema_top1": 50.0}
    assert said not in render(report | {"curves": [point]}, drawn("fashion_mnist"), "")


def test_departures_are_listed() -> None:
    report = gather("fashion_mnist_recipe", RESULTS)
    assert ["data.name", "fashion_mnist", "imagenet"] in report["departures"]
    assert '<code>data.name</code></td><td class="text">fashion_mnist</td>' in page_of("fashion_mnist_recipe")


def test_the_script_builds_the_page_without_torch(half: Path) -> None:
    done = run("study=smoke", f"results_dir={half}", cwd=half, script="view")
    assert (done.returncode, done.stderr) == (0, "False\n")
    page = half / "smoke" / "index.html"
    assert done.stdout.splitlines()[0] == "# The ladder: smoke" and done.stdout.splitlines()[-1] == str(page)
    assert 500_000 < page.stat().st_size < 2_000_000
    assert "vegaEmbed" in page.read_text()


def test_nothing_is_written_for_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="first run"):
        build("smoke", tmp_path)
    assert list(tmp_path.iterdir()) == []

"""The report in Chromium: layout, pointer, touch, keyboard, sorting, dark mode and print."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.report import RESULTS

from roadmap.report.page import build, chromium, opened, screenshot
from roadmap.results.table import read_csv

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WIDTHS = (360, 390, 600, 768, 1024, 1164, 1280, 1440, 1920)
CELLS = (
    "[...document.querySelectorAll('td, th')].filter(each => each.checkVisibility() && each.innerText.trim()).length"
)
CLIPPED = Path(__file__).with_name("helpers") / "clipped.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed default study, elsewhere."""
    results = tmp_path_factory.mktemp("default")
    shutil.copytree(RESULTS / "fashion_mnist", results / "fashion_mnist")
    return build("fashion_mnist", results)


@pytest.fixture(scope="module")
def half(half: Path) -> Path:
    """The page of a half-finished sweep, with curves."""
    return build("smoke", half)


@pytest.fixture(params=["default", "half"])
def page(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def mark(tab: Any, chart: str, title: str) -> Any:
    """The topmost mark of a step in a chart."""
    return tab.locator(f'[data-chart="{chart}"] [aria-label^="{title}:"]').last


def tooltip(tab: Any) -> dict[str, str]:
    tip = tab.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    cells = tip.locator("tr").all()
    said = {line.locator("td").first.inner_text(): line.locator("td").last.inner_text() for line in cells}
    return said | {"": tip.locator("h2").inner_text()}


def column(tab: Any, index: int) -> Any:
    return tab.locator(f".sortable tbody tr > :nth-child({index})").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_logged_requested_or_wider_than_the_screen(
    page: Path, browser: Any, scheme: str, viewport: Any
) -> None:
    said: list[str] = []
    asked: list[str] = []
    with browser.new_context(viewport=viewport, color_scheme=scheme, offline=True) as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
        tab.locator("#open-all").click()
        tab.mouse.wheel(0, 4000)
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
        assert tab.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert tab.locator("svg.marks").count() == tab.locator("[data-chart]").count() >= 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_number_is_clipped_at_any_width(page: Path, browser: Any, scheme: str) -> None:
    with opened(browser, page, viewport=DESK, color_scheme=scheme) as tab:
        tab.locator("#open-all").click()
        tab.mouse.move(0, 0)
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wait_for_timeout(150)
            measured, clipped = tab.evaluate(CLIPPED.read_text())
            assert clipped == [], f"at {width} pixels"
            assert measured >= tab.evaluate(CELLS) > 100


def test_columns_that_do_not_fit_are_left_out_and_named(default: Path, browser: Any) -> None:
    with opened(browser, default, viewport=PHONE) as tab:
        heads = tab.locator(".sortable thead th:visible").all_inner_texts()
        assert heads == ["step", "top-1, %", "change [95 % CI]"]
        assert (
            tab.locator("#left-out").inner_text().startswith("Too wide for this window: paper, %; n; images/s; p, Holm")
        )
        tab.set_viewport_size(DESK)
        assert tab.locator(".sortable thead th:visible").count() == 12
        assert not tab.locator("#left-out").is_visible()


def test_the_tooltip_shows_the_numbers_of_a_step_and_a_click_its_details(default: Path, browser: Any) -> None:
    (known,) = (row for row in read_csv(default.with_name("ladder.csv")) if row.step == "gelu")
    interval = f"{known.change:+.2f} [{known.change_low:+.2f}, {known.change_high:+.2f}]"
    with opened(browser, default, viewport=DESK) as tab:
        for chart in ("levels", "changes", "gflops", "images_per_second", "seconds", "agreement"):
            mark(tab, chart, "ReLU to GELU").hover()
            said = tooltip(tab)
            assert said[""] == "ReLU to GELU"
            assert said["top-1"] == f"{known.top1:.2f} ± {known.top1_std:.2f} %, n = {known.n}"
            assert said["change"].startswith(interval) and "significant (p 0." in said["change"]
            assert said["cost"] == "0.434 M parameters, 1.48 MFLOPs, 2,140 images/s, 2.00 min per run"
            assert said["changes"] == "model.act: relu → gelu"
            tab.mouse.move(2, 2)
        mark(tab, "levels", "ReLU to GELU").click()
        details = tab.locator("#step-gelu")
        assert details.get_attribute("open") is not None
        assert details.locator("svg[aria-label*=before] .changed text").all_text_contents() == ["ReLU"] * 3
        assert details.locator("svg[aria-label*=after] .changed text").all_text_contents() == ["GELU"] * 3
        assert details.locator("svg").first.is_visible()


def test_the_step_under_the_pointer_is_highlighted_in_all_charts(half: Path, browser: Any) -> None:
    lines = '[data-chart="curve_top1"] .mark-line path[stroke*="group-"]'
    look = "els => els.map(e => [e.getAttribute('stroke'), e.getAttribute('stroke-width'), e.getAttribute('opacity')])"
    with opened(browser, half, viewport=DESK) as tab:
        assert {width for _, width, _ in tab.locator(lines).evaluate_all(look)} == {"1.6", "1", "14"}
        tab.locator('.sortable tr[data-step="gelu"]').hover()
        tab.wait_for_timeout(200)
        found = tab.locator(lines).evaluate_all(look)
        assert [stroke for stroke, width, _ in found if width == "3.5"] == ["var(--group-micro)"]
        assert sum(opacity == "0.13" for _, _, opacity in found) == 3
        assert sum(width == "1" and opacity == "0.8" for _, width, opacity in found) == 2  # its seeds
        assert mark(tab, "levels", "ReLU to GELU").count() == 1
        assert "highlighted" in tab.locator("#step-gelu").get_attribute("class")
        tab.locator('[data-chart="curve_top1"] path[stroke-width="14"]').last.hover()
        tab.wait_for_timeout(200)
        assert tab.locator(".sortable tr.highlighted").count() == 1


def test_headings_sort_and_blanks_come_last(page: Path, browser: Any) -> None:
    with opened(browser, page, viewport=DESK) as tab:
        head = tab.locator(".sortable th button", has_text="change").first
        before = column(tab, 1)
        for direction in ("ascending", "descending"):
            head.click()
            assert tab.locator(f'.sortable th[aria-sort="{direction}"]').inner_text().startswith("change")
            cells = column(tab, 4)
            known = [float(cell.split()[0]) for cell in cells if cell]
            assert known == sorted(known, reverse=direction == "descending") and len(known) >= 2
            assert all(cell == "" for cell in cells[len(known) :])
        assert sorted(column(tab, 1)) == sorted(before) and column(tab, 1) != before
        tab.locator(".sortable th button").first.click()
        assert column(tab, 1) == before  # sorting by step restores the order of the ladder


def test_steps_without_a_run_are_blank(half: Path, browser: Any) -> None:
    with opened(browser, half, viewport=DESK) as tab:
        assert tab.locator(".sortable tr.blank").count() == 15
        assert tab.locator('[data-chart="levels"] text', has_text="not run").count() == 15
        tab.locator('[data-chart="levels"] [aria-label^="Kernel size 9:"]').hover()
        assert tooltip(tab)["top-1"] == "not run"
        tab.locator('.sortable tr[data-step="kernel_9"] a').click()
        said = tab.locator("#step-kernel_9[open]").inner_text().replace("\u200b", "")
        assert re.search(r"\bNone\b", said) is None and "model.kernel_size" in said
        assert "NaN" not in tab.locator("main").last.inner_text()


def test_the_keyboard_reaches_every_step(default: Path, browser: Any) -> None:
    with opened(browser, default, viewport=DESK) as tab:
        tab.locator('[data-chart="levels"] [tabindex="0"]').focus()
        assert tooltip(tab)[""] == "ResNet"
        for _ in range(3):
            tab.keyboard.press("ArrowDown")
        assert tooltip(tab)[""] == "Patchify stem"
        assert tab.locator(".sortable tr.highlighted").get_attribute("data-step") == "patchify_stem"
        tab.keyboard.press("Enter")
        assert tab.locator("#step-patchify_stem").get_attribute("open") is not None
        assert tab.evaluate("document.activeElement.closest('details').id") == "step-patchify_stem"
        tab.keyboard.press("Enter")
        assert tab.locator("#step-patchify_stem").get_attribute("open") is None
        tab.locator(".sortable th button").nth(2).focus()
        tab.keyboard.press("Enter")
        assert tab.locator('.sortable th[aria-sort="ascending"]').inner_text().startswith("top-1")


def test_a_tap_shows_the_numbers(default: Path, browser: Any) -> None:
    with opened(browser, default, viewport=PHONE, has_touch=True, is_mobile=True) as tab:
        mark(tab, "changes", "Fewer activations").tap()
        assert tooltip(tab)[""] == "Fewer activations"
        box = tab.locator("#vg-tooltip-element").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
        assert tab.locator("#step-fewer_activations").get_attribute("open") is None
        tab.locator('.sortable tr[data-step="fewer_activations"] a').tap()
        assert tab.locator("#step-fewer_activations").get_attribute("open") is not None
        assert tab.locator("#vg-tooltip-element.visible").count() == 0


def test_dark_mode_is_dark_and_print_is_white(default: Path, browser: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('[data-chart] .role-axis-label text')).fill"
    with opened(browser, default, viewport=DESK, color_scheme="dark") as tab:
        assert tab.evaluate(f"[{ground}, {ink}]") == ["rgb(20, 23, 28)", "rgb(233, 235, 238)"]
        tab.emulate_media(media="print")
        assert tab.evaluate(f"[{ground}, {ink}]") == ["rgb(255, 255, 255)", "rgb(28, 31, 36)"]
        assert not tab.locator("nav").is_visible()
        assert len(tab.pdf(format="A4")) > 50_000


def test_the_confusion_matrix_fits_and_is_coloured_by_its_numbers(half: Path, browser: Any) -> None:
    ground = "each => getComputedStyle(each).backgroundColor"
    for viewport in (DESK, PHONE):
        with opened(browser, half, viewport=viewport) as tab:
            tab.locator('.sortable tr[data-step="training_recipe"] a').click()
            own, difference = tab.locator("#step-training_recipe .matrix").all()
            row = own.locator("tbody tr").nth(3).locator("td")
            shares = {place: float(text) for place, text in enumerate(row.all_inner_texts()) if text}
            assert shares == pytest.approx({0: 19.45, 3: 80.55}, abs=0.051)
            grounds = [row.nth(place).evaluate(ground) for place in (0, 1, 3)]
            assert len(set(grounds)) == 3 and own.bounding_box()["width"] <= viewport["width"]
            row = difference.locator("tbody tr").nth(3).locator("td")
            assert row.all_inner_texts() == ["-0.5", "", "", "+0.5", *[""] * 6]
            assert {row.nth(place).get_attribute("class") for place in (0, 3)} == {"better"}


def test_a_screenshot_is_taken(half: Path, browser: Any, tmp_path: Path) -> None:
    screenshot(browser, half, tmp_path / "docs" / "report.png")
    content = (tmp_path / "docs" / "report.png").read_bytes()
    assert content.startswith(b"\x89PNG") and 50_000 < len(content) < 400_000

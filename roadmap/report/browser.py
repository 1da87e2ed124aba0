"""The report in a real browser without a screen: for pictures of it, and for its tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roadmap.errors import ConfigError
from roadmap.files import write_atomic

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's chromium, as a Playwright browser.

    Raises:
        ConfigError: it is not installed, or Playwright is not.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        raise ConfigError(
            "screenshot: needs chromium (apt-get install chromium) and playwright (pip install playwright)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, page: Path, **context: Any) -> Iterator[Any]:
    """A page from disk, its charts drawn; `context` as of Playwright's new_context (viewport, color_scheme, ...)."""
    with browser.new_context(**context) as fresh:
        tab = fresh.new_page()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
        yield tab


def picture(browser: Any, page: Path, target: Path) -> None:
    """What of a page is seen at first, with a rung pointed at, as PNG at one and a half times the pixels."""
    with opened(browser, page, viewport={"width": 1180, "height": 1080}, device_scale_factor=1.5) as tab:
        rungs = tab.locator('[data-chart="levels"] path[role="graphics-symbol"]')
        rungs.nth(rungs.count() * 2 // 3).hover()
        tab.locator("#vg-tooltip-element.visible").wait_for()
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, tab.screenshot(type="png"))

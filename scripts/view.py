"""Build the report of a study, results/<study>/index.html, print the table, and open the page where there is a screen.

    python scripts/view.py                              the default study
    python scripts/view.py study=imagenet               another one, or that of a sweep, from the same words
    python scripts/view.py screenshot=docs/report.png   a picture of the page; needs Debian's chromium and playwright

Reads <results_dir>/<study>, which scripts/collate.py writes, at any moment of a sweep.
"""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from roadmap.cli import command, study_options


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="results_dir, screenshot, and the words of the sweep"
    )
    chosen = study_options(parser.parse_args().words, {"screenshot": ""})
    from roadmap.report.page import build

    page = build(chosen["study"], Path(chosen["results_dir"]))
    print((page.parent / "ladder.md").read_text())
    print(page.resolve())
    if chosen["screenshot"]:
        from roadmap.report.browser import chromium, picture

        with chromium() as browser:
            picture(browser, page, Path(chosen["screenshot"]))
        print(Path(chosen["screenshot"]).resolve())
    elif sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.resolve().as_uri())
    return 0


if __name__ == "__main__":
    command(main)

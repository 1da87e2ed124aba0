"""Show the ladder of a study: print the table, and open the figure where there is a screen.

python scripts/view.py                  the default study
python scripts/view.py study=imagenet   another one
"""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from roadmap.command import command
from roadmap.ladder.words import options
from roadmap.schema import ConfigError

DEFAULTS = {"study": "fashion_mnist", "results_dir": "results"}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="study, results_dir")
    chosen = options(parser.parse_args().words, DEFAULTS)
    directory = Path(chosen["results_dir"]) / chosen["study"]
    table, figure = directory / "ladder.md", directory / "ladder.svg"
    if not (table.exists() and figure.exists()):
        raise ConfigError(f"{directory} has no ladder: run make roadmap STUDY={chosen['study']}")
    print(table.read_text())
    print(figure.resolve())
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(figure.resolve().as_uri())
    return 0


if __name__ == "__main__":
    command(main)

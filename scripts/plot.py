"""Draw the ladder of a study from its table alone: results/<study>/ladder.png and ladder.svg.

    python scripts/plot.py                    the default study
    python scripts/plot.py study=smoke        another one

Reads <results_dir>/<study>/ladder.csv, which scripts/collate.py writes.
"""

import argparse
from pathlib import Path

from roadmap.command import command
from roadmap.ladder.plot import plot
from roadmap.ladder.words import options

DEFAULTS = {"study": "fashion_mnist", "results_dir": "results"}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="study, results_dir")
    chosen = options(parser.parse_args().words, DEFAULTS)
    for path in plot(chosen["study"], Path(chosen["results_dir"])):
        print(path)
    return 0


if __name__ == "__main__":
    command(main)

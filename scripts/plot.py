"""Draw the ladder of a study from its table alone: results/<study>/ladder.png and ladder.svg.

    python scripts/plot.py                    the default study
    python scripts/plot.py study=smoke        another one, or that of a sweep, from the same words

Reads <results_dir>/<study>/ladder.csv, which scripts/collate.py writes.
"""

import argparse
from pathlib import Path

from roadmap.cli import command, study_options
from roadmap.report.figure import plot


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="results_dir, and the words of the sweep")
    chosen = study_options(parser.parse_args().words, {})
    for path in plot(chosen["study"], Path(chosen["results_dir"])):
        print(path)
    return 0


if __name__ == "__main__":
    command(main)

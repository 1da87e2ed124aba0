"""Make the table of a study from its result files: results/<study>/ladder.csv and ladder.md.

    python scripts/collate.py                    the default study
    python scripts/collate.py study=smoke        another one
    python scripts/collate.py study=smoke recipe.smoothing=0 jobs=2    that of a sweep, from the same words

Reads <runs_dir>/<study>, at any moment of a sweep; where that is not there, the result files kept in
<results_dir>/<study>/runs when the table was last made.
"""

import argparse
from pathlib import Path

from roadmap.cli import command
from roadmap.results.collate import collate
from roadmap.sweep.words import study_options


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="runs_dir, results_dir, and the words of the sweep"
    )
    chosen = study_options(parser.parse_args().words, {})
    for path in collate(chosen["study"], Path(chosen["runs_dir"]), Path(chosen["results_dir"]), print):
        print(path)
    return 0


if __name__ == "__main__":
    command(main)

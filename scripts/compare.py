"""Two studies side by side: results/compare/A--B.md, .png and .svg, the changes of both by rung with their intervals.

    python scripts/compare.py fashion_mnist paper                                 beside the published ladder
    python scripts/compare.py fashion_mnist fashion_mnist,recipe.smoothing=0      two of one's own

Reads <results_dir>/<study>/ladder.csv, which scripts/collate.py writes.
"""

import argparse
from pathlib import Path

from roadmap.cli import command, options
from roadmap.config.checks import NAME
from roadmap.errors import require
from roadmap.results.compare import compare

DEFAULTS = {"results_dir": "results"}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs=2, metavar="A B", help="names of studies, or paper")
    parser.add_argument("words", nargs="*", metavar="key=value", help="results_dir")
    arguments = parser.parse_args()
    for study in arguments.studies:
        require(bool(NAME.fullmatch(study)), "study", study, "letters, digits and _.,=+-")
    a, b = arguments.studies
    for path in compare(a, b, Path(options(arguments.words, DEFAULTS)["results_dir"])):
        print(path)
    return 0


if __name__ == "__main__":
    command(main)

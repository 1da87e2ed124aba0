"""Make the table of a study from its result files: results/<study>/ladder.csv and ladder.md.

    python scripts/collate.py                    the default study
    python scripts/collate.py study=smoke        another one

Reads <runs_dir>/<study>, at any moment of a sweep; where that is not there, the result files kept in
<results_dir>/<study>/runs when the table was last made.
"""

import argparse
import sys
from pathlib import Path

from roadmap.ladder.collate import collate
from roadmap.ladder.words import options
from roadmap.schema import ConfigError

DEFAULTS = {"study": "fashion_mnist", "runs_dir": "runs", "results_dir": "results"}


def main() -> int:
    """Return the exit code."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("words", nargs="*", metavar="key=value", help="study, runs_dir, results_dir")
    try:
        chosen = options(parser.parse_args().words, DEFAULTS)
        for path in collate(chosen["study"], Path(chosen["runs_dir"]), Path(chosen["results_dir"])):
            print(path)
    except ConfigError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make the data of a study ready.

    python scripts/fetch_data.py                   Fashion-MNIST, for the default study
    python scripts/fetch_data.py data=cifar10      another data set
    python scripts/fetch_data.py study=smoke data.root=/elsewhere

Exit code: 0 ready, 2 refused, or not to be had.
"""

import argparse
from pathlib import Path

from roadmap.command import command
from roadmap.config import compose
from roadmap.data.fetch import fetch


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    data = compose(parser.parse_args().words).data
    fetch(data.name.value, Path(data.root))
    return 0


if __name__ == "__main__":
    command(main)

"""Make the data of a study ready.

    python scripts/fetch_data.py                   Fashion-MNIST, for the default study
    python scripts/fetch_data.py data=cifar10      another data set
    python scripts/fetch_data.py study=smoke data.root=/elsewhere
    python scripts/fetch_data.py study=imagenet data.root=/tars    sorts the original archives there into folders
    python scripts/fetch_data.py data=webdataset data.root=/shards   fetches shards of URLs, notes where images begin

Exit code: 0 ready, 2 refused, or not to be had.
"""

import argparse

from roadmap.cli import command
from roadmap.config.compose import compose
from roadmap.data.prepare import prepare


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    prepare(compose(parser.parse_args().words).data)
    return 0


if __name__ == "__main__":
    command(main)

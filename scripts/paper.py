"""Put the paper's own three seeds through the statistics: results/paper/ladder.csv and ladder.md.

python scripts/paper.py
"""

import argparse

from roadmap.cli import command
from roadmap.results.paper_table import write_paper_table


def main() -> int:
    """Return the exit code."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path in write_paper_table():
        print(path)
    return 0


if __name__ == "__main__":
    command(main)

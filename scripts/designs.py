"""List what a design compares: the end of the path without each change, or its start with each alone.

python scripts/designs.py leave_one_out
python scripts/designs.py add_one resnet200      in another regime
"""

import argparse

from roadmap.cli import command
from roadmap.config.designs import PREFIX, listing
from roadmap.config.schema import Design
from roadmap.config.steps import regimes


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("design", choices=[design.value for design in PREFIX])
    parser.add_argument("regime", nargs="?", choices=regimes(), default="resnet50")
    arguments = parser.parse_args()
    print(listing(Design(arguments.design), arguments.regime), end="")
    return 0


if __name__ == "__main__":
    command(main)

"""Make the data of a study ready.

    python scripts/prepare_data.py                   Fashion-MNIST, for the default study
    python scripts/prepare_data.py data=cifar10      another data set
    python scripts/prepare_data.py study=smoke data.root=/elsewhere

Exit code: 0 ready, 1 it could not be had, 2 refused.
"""

import argparse
import sys
from pathlib import Path

from roadmap.config import compose
from roadmap.data.fetch import DataError, fetch
from roadmap.schema import ConfigError


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    try:
        data = compose(parser.parse_args().words).data
        fetch(data.name.value, Path(data.root))
    except (ConfigError, DataError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make a data set ready: python scripts/prepare_data.py data=fashion_mnist root=data

Options, as key=value:
  data=fashion_mnist   fashion_mnist, cifar10 or cifar100
  root=data            the directory it goes into
"""

import sys
from pathlib import Path

from roadmap.data.fetch import DataError, fetch
from roadmap.schema import ConfigError

DEFAULTS = {"data": "fashion_mnist", "root": "data"}


def main(words: list[str]) -> int:
    """Fetch what the words ask for; 1: it could not be had, 2: the words are wrong."""
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
        return 0
    try:
        options = parse(words)
        fetch(options["data"], Path(options["root"]))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parse(words: list[str]) -> dict[str, str]:
    """The options, defaults filled in.

    Raises:
        ConfigError: a word is not key=value, or has an unknown key.
    """
    options = dict(DEFAULTS)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in DEFAULTS or not equals or not value:
            raise ConfigError(f"{word}: allowed is key=value with a key of {' '.join(DEFAULTS)}")
        options[key] = value
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

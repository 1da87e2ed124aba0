"""How every script ends: with an exit code, and with a line instead of a traceback where a person can help it."""

import sys
from collections.abc import Callable
from pathlib import Path

from roadmap.data.fetch import DataError
from roadmap.files import Locked
from roadmap.schema import ConfigError


def command(main: Callable[[], int]) -> None:
    """Run a script's `main` and exit: with its code, 2 if the words or the data were refused, 130 on Ctrl-C."""
    name = Path(sys.argv[0]).name
    try:
        code = main()
    except (ConfigError, DataError, Locked) as error:
        print(f"{name}: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)

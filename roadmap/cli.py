"""The grammar that every command shares: `key=value` words and `--help`.

A command is a function `main(words: list[str]) -> int` in the module that does its work; its docstring is the help
text. `roadmap.__main__` lists the commands; `scripts/` starts the same functions.
"""

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc

from roadmap.errors import ConfigError, DataError, Locked, NoSpace

Main = Callable[[list[str]], int]
PATH_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""Errors of a path that the user gave: it is missing, something else is there, or access is denied."""


def run(name: str, main: Main, words: Sequence[str]) -> int:
    """Run a command and return its exit code.

    0 success, 1 failure, 2 refused input, 130 Ctrl-C, 128 + signal number if stopped by a signal. `--help` or `-h`
    prints the docstring of `main`. Refusals are printed in one or two lines, without a traceback.
    """
    if any(word in ("--help", "-h") for word in words):
        print(cleandoc(main.__doc__ or name))
        return 0
    try:
        return main(list(words))
    except (Exception, KeyboardInterrupt) as error:
        ending = _ending(error)
        if ending is None:
            raise
        code, message = ending
        print(f"{name}: {message}", file=sys.stderr)
        return code


def options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The defaults, updated by `key=value` words.

    Raises:
        ConfigError: a word that is not key=value, or an unknown key.
    """
    chosen = dict(defaults)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in defaults:
            raise ConfigError(f"{word}: allowed is {' '.join(f'{known}=...' for known in defaults)}")
        chosen[key] = value
    return chosen


def _ending(error: BaseException) -> tuple[int, str] | None:
    """Exit code and message for errors that the user can fix; None for a bug."""
    if _interrupted(error):
        return 130, "interrupted"
    if isinstance(error, (ConfigError, DataError, Locked)):
        return 2, str(error)
    if isinstance(error, OSError) and error.errno in PATH_ERRORS and error.filename:
        return 2, f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError):
        return 1, str(error) if isinstance(error, NoSpace) else f"{type(error).__name__}: {error}"
    return None


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error; some libraries wrap KeyboardInterrupt in an error of their own."""
    seen: list[BaseException] = []  # a re-raised error may stand in its own chain
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return any(isinstance(each, KeyboardInterrupt) for each in seen)


def command(main: Callable[[], int]) -> None:
    """Run an argparse-style script and exit. Only for scripts not yet moved to `roadmap.__main__`."""
    from pathlib import Path

    name = Path(sys.argv[0]).name
    try:
        code = main()
    except (Exception, KeyboardInterrupt) as error:
        ending = _ending(error)
        if ending is None:
            raise
        code = ending[0]
        print(f"{name}: {ending[1]}", file=sys.stderr)
    sys.exit(code)

"""How every script ends: with an exit code, and with a line instead of a traceback where a person can help it."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

from roadmap.errors import ConfigError, DataError, Locked, NoSpace

OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""Errors of a path that a person gave: it is not there, something else is, or it may not be read or written."""


def command(main: Callable[[], int]) -> None:
    """Run a script's `main` and exit: its code, 2 if words, data or a place were refused, 130 on Ctrl-C."""
    name = Path(sys.argv[0]).name
    try:
        code = main()
    except (Exception, KeyboardInterrupt) as error:
        ending = _ending(error)
        if ending is None:
            raise
        code, said = ending
        print(f"{name}: {said}", file=sys.stderr)
    sys.exit(code)


def _ending(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the line for what a person can help; None for what should not happen."""
    if _interrupted(error):
        return 130, "interrupted"
    if isinstance(error, (ConfigError, DataError, Locked)):
        return 2, str(error)
    if isinstance(error, OSError) and error.errno in OUT_OF_REACH and error.filename:
        return 2, f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError):
        return 1, str(error) if isinstance(error, NoSpace) else f"{type(error).__name__}: {error}"
    return None


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: pressed while a library reads, it may come out as one of the library's own."""
    seen: list[BaseException] = []  # an error that is raised again may stand behind itself
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return any(isinstance(each, KeyboardInterrupt) for each in seen)

"""What people read on a terminal or in a log: names are shown as they are, or escaped."""

import codecs
import io
import sys
from typing import Any

from rich.console import Console

from roadmap.errors import escaped, printable


class Terminal(Console):
    """A rich console for lines that hold names of files: no markup, no wrapping, nothing that a terminal obeys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "soft_wrap": True, "markup": False, "emoji": False} | options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: what replaces the characters, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


def escape_unencodable() -> None:
    """Let standard output and error write what their encoding lacks as escapes; in a log or a C locale it is ASCII."""
    codecs.register_error("escape", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")

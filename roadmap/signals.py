"""Being asked to stop: SIGINT and SIGTERM as something to look at between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Work was stopped by the signal whose number is the first argument; the same command goes on from there."""


@contextmanager
def caught() -> Iterator[list[int]]:
    """A list in which SIGINT and SIGTERM appear; a second one acts as if nobody had asked."""
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        restore()

"""Being asked to stop: signals as something to look at between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What people, systems and schedulers send to who should end in good order; the work goes on later."""


class Interrupted(Exception):
    """Work was stopped by the signal whose number is the first argument; the same command goes on from there."""


@contextmanager
def caught() -> Iterator[list[int]]:
    """A list in which these signals appear; a second Ctrl-C acts as if nobody had asked.

    The others come in twos and threes where a scheduler sends them, and must not break the good order.
    """
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in ASKED_TO_STOP}

    def note(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])
        seen.append(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

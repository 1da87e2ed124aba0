"""Stop signals, collected for work that checks them between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals from users, systems and schedulers after which work saves its state and ends, to be resumed later."""


class Interrupted(Exception):
    """Work was stopped by a signal, whose number is the first argument; the same command resumes it."""


@contextmanager
def caught() -> Iterator[list[int]]:
    """A list to which stop signals are appended; a second Ctrl-C interrupts at once.

    Schedulers repeat the other signals, which must not interrupt the saving of state.
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

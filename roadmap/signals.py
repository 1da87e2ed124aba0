"""Stop signals, collected for work that checks them between two steps."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals from users, systems and schedulers after which work saves its state and ends, to be resumed later."""


ENDING = (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
"""Signals that end a process where it is, unless they are caught."""
SHOW_CURSOR = b"\x1b[?25h"


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


@contextmanager
def cursor_shown() -> Iterator[None]:
    """Show the terminal's cursor again, which bars hide, if a signal ends this process where it is."""
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]
    main = threading.current_thread() is threading.main_thread()
    ending = [number for number in ENDING if terminals and main and signal.getsignal(number) == signal.SIG_DFL]

    def show(number: int, _frame: FrameType | None) -> None:
        os.write(terminals[0], SHOW_CURSOR)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    for number in ending:
        signal.signal(number, show)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)

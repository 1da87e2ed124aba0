"""Signals that ask a process to stop."""

import os
import pty
import signal
import subprocess
import sys

import pytest
from helpers.smoke import ROOT

from roadmap.signals import SHOW_CURSOR, caught

HIDDEN = b"\x1b[?25l"
BAR = """
import os, signal, sys, time
signal.signal(int(sys.argv[1]), signal.SIG_DFL)  # a shell that starts the tests in the background ignores some
from rich.live import Live
from roadmap import cli
def main(words):
    with Live("working"):
        os.kill(os.getpid(), int(words[0]))
        time.sleep(20)
cli.run("bar", main, sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_ends_a_command_leaves_the_cursor_visible(number: int) -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-c", BAR, str(int(number))]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 4096):
            said += more
    except OSError:  # how Linux reports the end of a terminal
        pass
    assert process.wait() == -number, "it ends as without a handler"
    assert HIDDEN in said and said.rindex(SHOW_CURSOR) > said.rindex(HIDDEN)


def test_signals_are_collected_and_a_second_ctrl_c_interrupts_at_once() -> None:
    # As on a terminal: a shell that starts the tests in the background ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sent = [signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2, signal.SIGINT]
    with pytest.raises(KeyboardInterrupt), caught() as seen:
        for number in sent:
            signal.raise_signal(number)
        assert seen == sent
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    signal.signal(signal.SIGINT, before)

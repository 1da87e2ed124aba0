"""Signals that ask a process to stop."""

import signal

import pytest

from roadmap.signals import caught


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

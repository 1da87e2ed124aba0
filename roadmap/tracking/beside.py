"""The process beside a training that mirrors its files: it can neither delay the training nor make it fail.

The two share nothing but a pipe, on which nothing is ever written: that it closes says the training is over, however
it ended. What the network or a tracker's library does to this process stays in it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roadmap import runs
from roadmap.config.compose import load
from roadmap.config.schema import Tracking
from roadmap.signals import ASKED_TO_STOP
from roadmap.tracking.mirror import mirror_run

CODE = Path(__file__).resolve().parents[2]
LOG = "log.txt"
LINGER_SECONDS = 60.0
"""After the end of its training the process is gone within this time, whatever keeps it."""
PATIENCE, PATIENCE_SECONDS = 0.002, 30.0
"""A finished training waits for it this share of its own time, at most so many seconds: a job's end would kill it."""


@contextmanager
def mirrored(directory: Path, tracking: Tracking) -> Iterator[None]:
    """Have the run in `directory` mirrored from now on, by a process that outlives it for a bounded time."""
    if tracking is Tracking.none:
        yield
        return
    started = time.monotonic()
    process = _start(directory)
    finished = False
    try:
        yield
        finished = True
    finally:
        if process and process.stdin:
            process.stdin.close()
            share = PATIENCE * (time.monotonic() - started) if finished else 0.0  # who is asked to stop must be quick
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(share, PATIENCE_SECONDS))
            threading.Thread(target=process.wait, daemon=True).start()  # whenever it ends, it is seen off
            if process.returncode:
                print(f"{tracking.name}: see {directory / runs.TRACKING / LOG}", file=sys.stderr)


def _start(directory: Path) -> subprocess.Popen[bytes] | None:
    path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    try:
        (directory / runs.TRACKING).mkdir(exist_ok=True)
        with (directory / runs.TRACKING / LOG).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "roadmap.tracking.beside", str(directory)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is the training's; this process hears of it through the pipe
            )
    except OSError as error:
        print(f"not mirrored: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Mirror the run in the directory that is the first argument until standard input closes."""
    os.nice(19)
    for number in ASKED_TO_STOP:  # schedulers send them to every process of a job
        signal.signal(number, signal.SIG_IGN)
    directory, over = Path(sys.argv[1]), threading.Event()
    with tempfile.TemporaryDirectory(prefix="mirror-") as scratch:
        tempfile.tempdir = os.environ["TMPDIR"] = scratch  # a library that is killed cannot tidy up
        threading.Thread(target=watch, args=(over, scratch), daemon=True).start()
        tracking = load(directory / runs.CONFIG).tracking
        mirror_run(directory, tracking, over.wait, beside=True, wait=LINGER_SECONDS)


def watch(over: threading.Event, scratch: str) -> None:
    """Say when the training is over, and end this process if it does not end by itself."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    over.set()
    time.sleep(LINGER_SECONDS)
    shutil.rmtree(scratch, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)  # what it has started sees that it is gone, and goes too


if __name__ == "__main__":
    main()

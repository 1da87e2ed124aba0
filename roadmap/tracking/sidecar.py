"""A sidecar process mirrors the files of a run while it trains. It can neither delay the training nor make it fail.

The two processes share nothing but a pipe. Nothing is written to it; when it closes, the training is over, however it
ended. Errors of the network or of a tracker's library stay in the sidecar.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roadmap import cli, runs
from roadmap.config.compose import load
from roadmap.config.schema import Tracking
from roadmap.environment import child_environment
from roadmap.files import lock, open_no_link, refuse_links
from roadmap.signals import ASKED_TO_STOP
from roadmap.tracking.mirror import mirror_run
from roadmap.tracking.trackers import SCRATCH, scratch

LOG = "log.txt"
LINGER_SECONDS = 60.0  # the sidecar ends within this time after its training, in any case
# A finished training waits this share of its own time for the sidecar, at most so many seconds: a scheduler would
# kill the sidecar at the end of the job.
WAIT_SHARE, WAIT_SECONDS = 0.002, 30.0


@contextmanager
def mirrored(directory: Path, tracking: Tracking) -> Iterator[None]:
    """Mirror the run in `directory` for the duration of the block, in a sidecar that may outlive it for a while."""
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
            # An interrupted training must end at once.
            share = WAIT_SHARE * (time.monotonic() - started) if finished else 0.0
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(share, WAIT_SECONDS))
            threading.Thread(target=process.wait, daemon=True).start()  # no zombie, whenever it ends
            if process.returncode:
                print(f"{tracking.name}: see {directory / runs.TRACKING / LOG}", file=sys.stderr)


def _start(directory: Path) -> subprocess.Popen[bytes] | None:
    try:
        (directory / runs.TRACKING).mkdir(exist_ok=True)
        refuse_links(directory / runs.TRACKING, below=False)
        with open_no_link(directory / runs.TRACKING / LOG, "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "roadmap.tracking.sidecar", str(directory)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=child_environment(os.environ),
                start_new_session=True,  # Ctrl-C must reach the training only
            )
    except OSError as error:
        print(f"not mirrored: {error}", file=sys.stderr)
        return None


def main(words: list[str]) -> int:
    """Mirror the run in the directory given as only word until standard input closes."""
    os.nice(19)
    for number in ASKED_TO_STOP:  # schedulers send them to every process of a job
        signal.signal(number, signal.SIG_IGN)
    directory, over = Path(words[0]), threading.Event()
    tracking = load(directory / runs.CONFIG).tracking
    threading.Thread(target=_watch, args=[over, directory], daemon=True).start()
    with lock(directory / runs.TRACKING, wait=LINGER_SECONDS), scratch(directory / runs.TRACKING):
        mirror_run(directory, tracking, over.wait, live=True)
    return 0


def _watch(over: threading.Event, directory: Path) -> None:
    """Set `over` when the training is over, and kill this process if it does not end by itself."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    over.set()
    time.sleep(LINGER_SECONDS)
    shutil.rmtree(directory / runs.TRACKING / SCRATCH, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)  # its child processes notice and end too


if __name__ == "__main__":
    sys.exit(cli.run("sidecar", main, sys.argv[1:]))

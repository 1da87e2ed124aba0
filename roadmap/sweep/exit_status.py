"""What becomes of a run whose process or job has ended: its own files decide, then what the scheduler says."""

import signal
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from roadmap import runs
from roadmap.signals import ASKED_TO_STOP

TO_GO_ON = {128 + number for number in ASKED_TO_STOP} | {-number for number in ASKED_TO_STOP}
"""Exit codes of who was asked to stop: after a checkpoint, or before there was anything to keep."""
ALIVE = {
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING",
    "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD",
}  # fmt: skip
"""States of SLURM in which a job has not ended, or will begin again."""
NO_FAULT = {"NODE_FAIL": "its node failed", "BOOT_FAIL": "its node did not start", "PREEMPTED": "it was preempted"}
FINAL = {
    "CANCELLED": "it was cancelled",
    "OUT_OF_MEMORY": "out of memory",
    "DEADLINE": "its deadline has passed",
    "REVOKED": "it was revoked",
}


class Verdict(Enum):
    """What becomes of a run."""

    finished = "finished"
    again = "again"  # it ended for no fault of its own
    failed = "failed"


@dataclass(frozen=True)
class Ending:
    """What is known of how a process or a job ended."""

    code: int | None = None
    """Exit code of the training command, negative for a signal that killed it; None: it did not come to tell."""
    state: str | None = None
    """What SLURM says of its job; None: there is none, or it was forgotten."""
    progressed: bool = False
    """Whether a checkpoint was written since it was started."""


def judge(directory: Path, ending: Ending) -> tuple[Verdict, str]:
    """What becomes of the run in `directory`, and why."""
    code, state = ending.code, ending.state or ""
    if runs.finished(directory):
        return Verdict.finished, ""
    if state in NO_FAULT:  # which may have made its processes fail
        return Verdict.again, NO_FAULT[state]
    if state in FINAL:
        return Verdict.failed, FINAL[state]
    failure = runs.read_json(directory / runs.FAILURE)
    if failure:
        return Verdict.failed, str(failure.get("error"))
    if code in TO_GO_ON:
        return Verdict.again, f"stopped by {signal.Signals(code - 128 if code > 0 else -code).name}"
    if state == "TIMEOUT":
        why = "its time was up"
    elif code is None:
        why = "it ended without a word"
    elif code < 0:
        why = f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    else:
        return Verdict.failed, f"exit code {code}: {last_line(directory / runs.LOG)}"
    if code not in (None, -signal.SIGKILL) and state != "TIMEOUT":
        return Verdict.failed, why
    # Killed for the same reason each time, it would never end: only what gets on is worth another try.
    return (Verdict.again if ending.progressed else Verdict.failed), why


def last_line(log: Path) -> str:
    """The last line of a file, or that there is none."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "no output"


def checkpoint_time(directory: Path) -> int:
    """When the newest checkpoint was written, by the clock of its file system; 0: there is none."""
    try:
        return (directory / runs.CHECKPOINT).stat().st_mtime_ns
    except FileNotFoundError:
        return 0

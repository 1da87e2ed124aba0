"""How a run ended: its own files decide first, then the exit code and the state of its SLURM job."""

import getpass
import signal
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from roadmap import runs
from roadmap.environment import outside_of_jobs
from roadmap.signals import ASKED_TO_STOP

RESUMABLE_CODES = {128 + number for number in ASKED_TO_STOP} | {-number for number in ASKED_TO_STOP}
"""Exit codes after a stop signal: 128 + signal once a checkpoint is written, -signal if it came before any work."""
ACTIVE_STATES = {
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING",
    "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD",
}  # fmt: skip
"""SLURM states of a job that has not ended or will start again."""
WORKING_STATES = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING"}
RETRIED_STATES = {"NODE_FAIL": "node failed", "BOOT_FAIL": "node did not boot", "PREEMPTED": "preempted"}
FINAL_STATES = {"OUT_OF_MEMORY": "out of memory", "DEADLINE": "deadline reached"}
FINAL_STATES |= {"CANCELLED": "cancelled", "REVOKED": "revoked"}


class ExitStatus(Enum):
    finished = "finished"
    retry = "retry"  # ended through no fault of its own
    failed = "failed"


@dataclass(frozen=True)
class Exit:
    """What is known about the end of a training process or job."""

    code: int | None = None  # exit code of the training command, negative for the signal that killed it; None: unknown
    job_state: str | None = None  # state of the SLURM job; None: no job, or SLURM has forgotten it
    progressed: bool = False  # whether it wrote a checkpoint


def exit_status(directory: Path, end: Exit) -> tuple[ExitStatus, str]:
    """Exit status of the run in `directory`, and the reason."""
    code, job_state = end.code, end.job_state or ""
    if runs.finished(directory):
        return ExitStatus.finished, ""
    if not directory.is_dir():
        return ExitStatus.failed, f"{directory} was removed while the run was going on"
    if job_state in RETRIED_STATES:  # before failure.json: a lost node can cause errors in its processes
        return ExitStatus.retry, RETRIED_STATES[job_state]
    if job_state in FINAL_STATES:
        return ExitStatus.failed, FINAL_STATES[job_state]
    if failure := runs.failure_reason(directory):
        return ExitStatus.failed, failure
    if code in RESUMABLE_CODES:
        return ExitStatus.retry, f"stopped by {signal.Signals(code - 128 if code > 0 else -code).name}"
    if job_state == "TIMEOUT":
        reason = "time limit reached"
    elif code is None:
        reason = "ended without an exit code"
    elif code == -signal.SIGKILL:
        reason = "killed by SIGKILL (out of memory?)"
    elif code < 0:
        return ExitStatus.failed, f"killed by {signal.Signals(-code).name}"
    else:
        log = directory / runs.LOG
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return ExitStatus.failed, f"exit code {code}: {lines[-1] if lines else 'no output'}"
    # Without progress the same end would repeat for ever.
    return (ExitStatus.retry if end.progressed else ExitStatus.failed), reason


def checkpoint_time(directory: Path) -> int:
    """Modification time of the newest checkpoint in nanoseconds; 0 if there is none."""
    try:
        return (directory / runs.CHECKPOINT).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def job_states() -> dict[str, str] | None:
    """State of each of this user's jobs that SLURM still knows, by job number; None if squeue does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i %T"]
    try:
        with outside_of_jobs():
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())

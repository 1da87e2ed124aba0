"""The SLURM job of a run: one training command per process, as on a local machine.

submitit calls `TrainJob` in each process. When SLURM reclaims the node, submitit calls `TrainJob.checkpoint`: the
command writes its checkpoint, and the job is requeued.
"""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from roadmap import runs
from roadmap.environment import child_environment
from roadmap.files import open_no_link
from roadmap.sweep.exit_status import RESUMABLE_CODES
from roadmap.sweep.launcher import train_command

if TYPE_CHECKING:
    from submitit import JobEnvironment
    from submitit.helpers import DelayedSubmission


@dataclass
class TrainJob:
    """One process of the frozen run in `directory`."""

    directory: Path
    process: int | None = None

    def __call__(self) -> None:
        """Train; exits with the command's exit code."""
        from submitit import JobEnvironment

        job = JobEnvironment()
        # submitit ignores SIGTERM and requeues on SIGUSR2; SIGUSR1 is made to do the same.
        signal.signal(signal.SIGTERM, self.forward)
        signal.signal(signal.SIGUSR1, signal.getsignal(signal.SIGUSR2))
        if job.global_rank == 0:
            (self.directory / runs.EXIT).unlink(missing_ok=True)
        with open_no_link(self.directory / runs.LOG, "ab") as log:
            command, environment = train_command(self.directory), child_environment(os.environ) | ranks(job)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.process = process.pid
        code = process.returncode = self.wait()
        if job.global_rank == 0:
            runs.write_json(self.directory / runs.EXIT, {"code": code})
        elif code in RESUMABLE_CODES:
            return  # the first process decides, and may still be requeueing
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def forward(self, number: int, _frame: FrameType | None = None) -> None:
        """Forward a signal to the command."""
        if self.process:
            os.kill(self.process, number)

    def wait(self) -> int:
        """Exit code of the command, negative for a signal; does not reap it, so that a signal handler can wait too."""
        assert self.process
        status = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)
        assert status
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    def checkpoint(self) -> "DelayedSubmission | None":
        """Stop the command at a checkpoint; returns the job to requeue, or None if it ended otherwise.

        submitit calls it in the first process, from its SIGUSR2 handler in the middle of `__call__`.
        """
        from submitit.helpers import DelayedSubmission

        self.forward(signal.SIGUSR2)
        code = self.wait() if self.process else -signal.SIGUSR2
        runs.write_json(self.directory / runs.EXIT, {"code": code})
        # A preemption sends more of these; submitit's scontrol inherits the handlers and must survive to requeue.
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        return DelayedSubmission(TrainJob(self.directory)) if code in RESUMABLE_CODES else None


def ranks(job: "JobEnvironment") -> dict[str, str]:
    """torchrun's environment variables, for the processes of one run to find each other; empty for one process."""
    if job.num_tasks == 1:
        return {}
    return {
        "RANK": str(job.global_rank),
        "LOCAL_RANK": str(job.local_rank),
        "WORLD_SIZE": str(job.num_tasks),
        "MASTER_ADDR": job.hostnames[0],
        "MASTER_PORT": str(20_000 + int(job.raw_job_id) % 12_000),  # below the range that Linux assigns by itself
    }

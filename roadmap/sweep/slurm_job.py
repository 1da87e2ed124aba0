"""What a job of SLURM does: the same training command as on this machine, once a process of the run.

submitit calls it, and tells it when SLURM wants the node back: the command writes its checkpoint, the job queues again.
"""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from roadmap import runs
from roadmap.sweep.exit_status import TO_GO_ON
from roadmap.sweep.launcher import train_command

if TYPE_CHECKING:
    from submitit import JobEnvironment
    from submitit.helpers import DelayedSubmission

FIRST_PORT, PORTS = 20_000, 12_000
"""Where the processes of a run meet; below the ports that a system gives away by itself."""


@dataclass
class TrainJob:
    """One process of the run that is frozen in a directory."""

    directory: Path
    process: int | None = None

    def __call__(self) -> None:
        """Carry it out; ends with the command's exit code."""
        from submitit import JobEnvironment

        job = JobEnvironment()
        # submitit lets SIGTERM pass and queues again on SIGUSR2. What comes as SIGUSR1 asks for the same.
        signal.signal(signal.SIGTERM, self.forward)
        signal.signal(signal.SIGUSR1, signal.getsignal(signal.SIGUSR2))
        if job.global_rank == 0:
            (self.directory / runs.EXIT).unlink(missing_ok=True)
        with (self.directory / runs.LOG).open("ab") as log:
            command, environment = train_command(self.directory), os.environ | world(job)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.process = process.pid
        code = process.returncode = self.ended()
        if job.global_rank == 0:
            self.record(code)
        elif code in TO_GO_ON:
            return  # the first process has the last word, and may still be queueing
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def forward(self, number: int, _frame: FrameType | None = None) -> None:
        """Hand a signal on to the command."""
        if self.process:
            os.kill(self.process, number)

    def ended(self) -> int:
        """Wait for the command and return its exit code, negative for a signal; may be asked again at any moment."""
        assert self.process
        status = os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)
        assert status
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    def record(self, code: int) -> None:
        """Leave how the command ended for the sweep."""
        runs.write_json(self.directory / runs.EXIT, {"code": code})

    def checkpoint(self) -> "DelayedSubmission | None":
        """Have the command write its checkpoint; returns what is queued again, or None if there is nothing left to do.

        submitit calls it on SIGUSR2, in the first process, in the middle of `__call__`.
        """
        from submitit.helpers import DelayedSubmission

        self.forward(signal.SIGUSR2)
        code = self.ended() if self.process else -signal.SIGUSR2
        self.record(code)
        # More of them come with a preemption, and would kill the scontrol that queues again: it inherits this.
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        return DelayedSubmission(TrainJob(self.directory)) if code in TO_GO_ON else None


def world(job: "JobEnvironment") -> dict[str, str]:
    """The variables by which processes of one run find each other, named as torchrun names them."""
    if job.num_tasks == 1:
        return {}
    return {
        "RANK": str(job.global_rank),
        "LOCAL_RANK": str(job.local_rank),
        "WORLD_SIZE": str(job.num_tasks),
        "MASTER_ADDR": job.hostnames[0],
        "MASTER_PORT": str(FIRST_PORT + int(job.raw_job_id) % PORTS),
    }

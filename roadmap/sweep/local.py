"""Runs as processes of this machine; they end with the sweep."""

import subprocess
import time
from dataclasses import dataclass

from roadmap import runs
from roadmap.environment import child_environment
from roadmap.errors import ConfigError
from roadmap.files import open_no_link
from roadmap.sweep.exit_status import Exit, checkpoint_time
from roadmap.sweep.launcher import reset, train_command
from roadmap.sweep.resources import environments
from roadmap.sweep.status import Phase, RunState

Process = subprocess.Popen[bytes]


@dataclass
class Worker:
    state: RunState
    process: Process
    environment: dict[str, str]
    checkpoint: int  # `checkpoint_time` when it was started


class Local:
    """A `roadmap.sweep.launcher.Launcher`."""

    def __init__(self, jobs: int) -> None:
        self._free = environments(jobs)
        self._workers: list[Worker] = []

    def adopt(self, states: list[RunState]) -> None:
        """Refuse runs that have a SLURM job (ConfigError)."""
        if jobs := sum((each.run.directory / runs.JOB).exists() for each in states):
            text = f"{jobs} runs of this sweep are SLURM jobs: cluster=slurm continues them"
            raise ConfigError(f"cluster=local: {text}, `scripts/sweep.py cancel` with the same words cancels them")

    def capacity(self) -> int:
        return len(self._free)

    def start(self, states: list[RunState]) -> list[tuple[RunState, str]]:
        refused = []
        for each in states:
            checkpoint, environment = checkpoint_time(each.run.directory), self._free.pop(0)
            try:
                self._workers.append(Worker(each, start(each, environment), environment, checkpoint))
            except OSError as error:  # out of memory or disk: the next run may still start
                self._free.append(environment)
                refused.append((each, str(error)))
        return refused

    def ended(self) -> list[tuple[RunState, Exit]]:
        exits = []
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._workers.remove(worker)
            self._free.append(worker.environment)
            with worker.process:  # closes its pipe
                progressed = worker.checkpoint != checkpoint_time(worker.state.run.directory)
                exits.append((worker.state, Exit(worker.process.returncode, progressed=progressed)))
        return exits

    def close(self) -> str:
        """Terminate processes, which write a checkpoint first; kill those still running after half a minute."""
        processes = [worker.process for worker in self._workers]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + 30
        for process in processes:
            with process:  # waits for it and closes its pipe
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
        return ""


def start(state: RunState, environment: dict[str, str]) -> Process:
    """Start a run's process with its output in log.txt; it stops when this process is gone."""
    reset(state, Phase.running)
    directory = state.run.directory
    with open_no_link(directory / runs.LOG, "ab") as log:
        # A session of its own: Ctrl-C reaches only the sweep, which then stops its processes one by one.
        command, env = [*train_command(directory), "child=true"], child_environment(environment)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=env)

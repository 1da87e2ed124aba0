"""A SLURM cluster of one node on this machine, for one test session; all its files are in one directory."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SLURM_CONF = Path(__file__).parents[1] / "data" / "slurm.conf"


@dataclass
class Cluster:
    directory: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.directory / "slurm.conf")}

    def answer(self, *command: str, check: bool = False) -> str:
        """Output of a SLURM command, which may fail unless `check` is set."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=check).stdout

    def start(self, name: str, *arguments: str) -> None:
        """Start a daemon in the foreground."""
        with (self.directory / f"{name}.out").open("ab") as log:
            path = shutil.which(name, path=SBIN)
            assert path
            self.daemons[name] = subprocess.Popen([path, *arguments], stdout=log, stderr=log, env=self.environment)

    def stop(self, name: str) -> None:
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it answers."""
        self.start("slurmctld", "-D")
        until(lambda: "UP" in self.answer("scontrol", "ping"), "the controller answers")

    def jobs(self) -> dict[str, str]:
        """State of every job that has not ended, by job number."""
        listed = self.answer("squeue", "--noheader", "--array", "--format=%i %T", check=True)
        return dict(line.split(maxsplit=1) for line in listed.splitlines())

    def signal(self, job: str, name: str) -> None:
        """Send a signal to a job; do not wait for scancel, which keeps trying if the job was requeued already."""
        self.answer("timeout", "2", "scancel", f"--signal={name}", job)

    def start_now(self, job: str) -> None:
        """Start a requeued job, which SLURM would hold back for two minutes."""
        self.answer("scontrol", "update", f"JobId={job}", "StartTime=now")


SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def lacking() -> str:
    """SLURM programs that are not installed."""
    return " ".join(name for name in NEEDED if not shutil.which(name, path=SBIN))


@contextmanager
def up(directory: Path, *, cpus: int = 2) -> Iterator[Cluster]:
    """A running cluster; its jobs and daemons are ended on exit."""
    for name in ("state", "spool"):
        (directory / name).mkdir()
    directory.chmod(0o755)
    key = directory / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = {"controller": one.getsockname()[1], "daemon": two.getsockname()[1]}
    filled = SLURM_CONF.read_text().format(directory=directory, host=socket.gethostname(), cpus=cpus, **ports)
    (directory / "slurm.conf").write_text(filled)
    cluster = Cluster(directory)
    files = [f"--{name}-file={directory}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    try:
        # A directory of tests may be anybody's to write in: --force.
        cluster.start("munged", "--foreground", "--force", f"--socket={directory}/munge.socket", *files)
        until((directory / "munge.socket").exists, "munged")
        cluster.start_controller()
        cluster.start("slurmd", "-D", "-N", "localhost")
        until(lambda: cluster.answer("sinfo", "-h", "-o", "%T").strip() == "idle", "the node is idle")
        yield cluster
    finally:
        if "slurmctld" in cluster.daemons:
            cluster.answer("scancel", "--user=root")
            # Or the last of a job's processes would outlive the daemons.
            until(lambda: not cluster.answer("squeue", "-h").strip(), "no jobs")
        for name in list(reversed(cluster.daemons)):
            cluster.stop(name)

"""A SLURM cluster of one node on this machine, for one test session; all its files are in one directory."""

import contextlib
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
SLURM_CONF = """\
ClusterName=roadmap
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=0
KillWait=10
MinJobAge=3600
ReturnToService=2
JobRequeue=1
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname={host} CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    directory: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.directory / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """Output of a SLURM command."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

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

    def answer(self, *command: str) -> str:
        """Output of a SLURM command that may fail."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def jobs(self) -> dict[str, str]:
        """State of every job that has not ended, by job number."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def signal(self, job: str, name: str) -> None:
        """Send a signal to a job; do not wait for scancel, which keeps trying if the job was requeued already."""
        command, quiet = ["scancel", f"--signal={name}", job], subprocess.DEVNULL
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=self.environment, stderr=quiet, check=False, timeout=2)

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
    ports = [_free_port() for _ in range(2)]
    text = SLURM_CONF.format(
        user="root", directory=directory, host=socket.gethostname(), cpus=cpus, controller=ports[0], daemon=ports[1]
    )
    (directory / "slurm.conf").write_text(text)
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

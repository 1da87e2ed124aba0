"""The faults: each is a name and a function that injects it into a running sweep."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chaos.outcome import working_on
from roadmap import runs


@dataclass
class Target:
    sweep: subprocess.Popen[str]
    study: Path
    random: Random
    disk: Path | None
    """Root of a small file system that may be filled."""

    def process(self) -> int | None:
        """A random training process; None if there is none now."""
        return self.random.choice(working_on(self.study) or [None])

    def file(self, pattern: str) -> Path | None:
        """A random file of the study that matches; None if none does now."""
        return self.random.choice(sorted(self.study.glob(pattern)) or [None])


Fault = Callable[[Target], bool]
"""Returns False if the fault is not possible now."""


def send(number: signal.Signals) -> Fault:
    """A signal to a training process."""
    return lambda target: _kill(target.process(), number)


def send_sweep(number: signal.Signals) -> Fault:
    return lambda target: target.sweep.poll() is None and _kill(target.sweep.pid, number)


def kill_all(target: Target) -> bool:
    processes = [target.sweep.pid, *working_on(target.study)]
    return target.sweep.poll() is None and all([_kill(process, signal.SIGKILL) for process in processes])


def suspend(target: Target) -> bool:
    process = target.process()
    if not _kill(process, signal.SIGSTOP):
        return False
    time.sleep(target.random.uniform(0.2, 1.5))
    return _kill(process, signal.SIGCONT)


def damage(name: str, how: Callable[[bytes, Random], bytes], *, kill: bool) -> Fault:
    """Damage a file; with `kill`, of a run whose processes are killed first and cannot write it again."""

    def fault(target: Target) -> bool:
        path = target.file(f"*/seed-*/{name}")
        if path is None or (kill and runs.finished(path.parent)):
            return False
        for process in working_on(path.parent) if kill else []:
            _kill(process, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            path.write_bytes(how(path.read_bytes(), target.random))
            return True
        return False

    return fault


def flip_bit(content: bytes, random: Random) -> bytes:
    flipped = bytearray(content or b"\0")
    flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


DAMAGE: dict[str, Callable[[bytes, Random], bytes]] = {
    "truncated": lambda content, random: content[: random.randrange(max(1, len(content)))],
    "with a bit flipped": flip_bit,
    "emptied": lambda content, random: b"",
}


def delete_messages(target: Target) -> bool:
    """Delete files that only inform people."""
    found = [target.file(f"*/seed-*/{name}") for name in (runs.PROGRESS, runs.LOG)]
    for path in filter(None, found):
        path.unlink(missing_ok=True)
    return any(found)


def leave_files(target: Target) -> bool:
    """Lock and temporary files as killed processes leave them."""
    run = target.file("*/seed-*")
    for directory in (target.study, run) if run else ():
        (directory / ".lock").write_text("999999")
        (directory / f".{runs.CHECKPOINT}.999999.tmp").write_bytes(b"half a che")
    return run is not None


def touch(target: Target) -> bool:
    path = target.file(f"*/seed-*/{runs.CONFIG}")
    if path:
        path.touch()
    return path is not None


def fill_disk(target: Target) -> bool:
    if target.disk is None:
        return False
    filler = target.disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(64 << 20))
    time.sleep(target.random.uniform(0.5, 3))
    filler.unlink(missing_ok=True)
    return True


def limit_files(target: Target) -> bool:
    """Limit the file size of a training process, which is like a full disk."""
    process = target.process()
    with contextlib.suppress(ProcessLookupError):
        if process is not None and hasattr(resource, "prlimit"):
            resource.prlimit(process, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
            return True
    return False


FAULTS: dict[str, Fault] = {
    "kill -9 of a training process": send(signal.SIGKILL),
    "kill -9 of the sweep": send_sweep(signal.SIGKILL),
    "kill -9 of all processes": kill_all,
    "SIGTERM to a training process": send(signal.SIGTERM),
    "SIGTERM to the sweep": send_sweep(signal.SIGTERM),
    "SIGINT to the sweep": send_sweep(signal.SIGINT),
    "training process suspended for a while": suspend,
    **{f"killed, checkpoint {how}": damage(runs.CHECKPOINT, DAMAGE[how], kill=True) for how in DAMAGE},
    **{f"result {how}": damage(runs.RESULT, DAMAGE[how], kill=False) for how in DAMAGE},
    "progress and log deleted": delete_messages,
    "locks and temporary files of dead processes": leave_files,
    "frozen configuration touched": touch,
    "disk full for a while": fill_disk,
    "file size of a training process limited": limit_files,
}


def _kill(process: int | None, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if process is not None:
            os.kill(process, number)
            return True
    return False

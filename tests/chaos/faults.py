"""The faults, each a name and what it does to a sweep at work."""

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
    """A sweep at work, and the directory of its study."""

    sweep: subprocess.Popen[str]
    study: Path
    chance: Random
    device: Path | None
    """The root of a small file system of its own, that may be filled; None where there is none."""

    def process(self) -> int | None:
        """One of the training processes; None while there is none."""
        found = working_on(self.study)
        return self.chance.choice(found) if found else None

    def file(self, pattern: str) -> Path | None:
        """One of the files of the study that are so called; None while there is none."""
        found = sorted(self.study.glob(pattern))
        return self.chance.choice(found) if found else None


Fault = Callable[[Target], bool]
"""Does what its name says; False where there was nothing to do it to."""


def send(number: signal.Signals) -> Fault:
    """A signal to a training process."""

    def fault(target: Target) -> bool:
        process = target.process()
        return process is not None and _kill(process, number)

    return fault


def send_sweep(number: signal.Signals) -> Fault:
    """A signal to the sweep."""
    return lambda target: target.sweep.poll() is None and _kill(target.sweep.pid, number)


def kill_all(target: Target) -> bool:
    """The whole of a machine goes."""
    processes = [target.sweep.pid, *working_on(target.study)]
    return target.sweep.poll() is None and all([_kill(process, signal.SIGKILL) for process in processes])


def hold(target: Target) -> bool:
    """A process stands still for a while."""
    process = target.process()
    if process is None or not _kill(process, signal.SIGSTOP):
        return False
    time.sleep(target.chance.uniform(0.2, 1.5))
    return _kill(process, signal.SIGCONT)


def damage(name: str, how: Callable[[bytes, Random], bytes], *, kill: bool) -> Fault:
    """Bytes of a file that are not what was written, after a kill -9 of all that would write it again."""

    def fault(target: Target) -> bool:
        path = target.file(f"*/seed-*/{name}")
        if path is None or (kill and runs.finished(path.parent)):
            return False
        for process in working_on(path.parent) if kill else []:
            _kill(process, signal.SIGKILL)
        try:
            path.write_bytes(how(path.read_bytes(), target.chance))
        except FileNotFoundError:
            return False
        return True

    return fault


def truncated(content: bytes, chance: Random) -> bytes:
    """The first part of it."""
    return content[: chance.randrange(max(1, len(content)))]


def flipped(content: bytes, chance: Random) -> bytes:
    """All but one bit of it."""
    bits = bytearray(content)
    if bits:
        bits[chance.randrange(len(bits))] ^= 1 << chance.randrange(8)
    return bytes(bits)


def emptied(_content: bytes, _chance: Random) -> bytes:
    """Nothing of it."""
    return b""


def forget(target: Target) -> bool:
    """Files that only tell are gone."""
    gone = [target.file(f"*/seed-*/{name}") for name in (runs.PROGRESS, runs.LOG)]
    for path in filter(None, gone):
        path.unlink(missing_ok=True)
    return any(gone)


def leave_behind(target: Target) -> bool:
    """Locks and temporary files of processes that are long dead."""
    run = target.file("*/seed-*")
    for directory in (target.study, run) if run else ():
        (directory / ".lock").write_text("999999")
        (directory / f".{runs.CHECKPOINT}.999999.tmp").write_bytes(b"half a che")
    return run is not None


def touch(target: Target) -> bool:
    """A frozen configuration is saved again, as it is."""
    path = target.file(f"*/seed-*/{runs.CONFIG}")
    if path:
        path.touch()
    return path is not None


def fill(target: Target) -> bool:
    """The device is full for a while."""
    if target.device is None:
        return False
    filler = target.device / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
            while stream.write(b"\0" * 65536):
                pass
        time.sleep(target.chance.uniform(0.5, 3))
    finally:
        filler.unlink(missing_ok=True)
    return True


def limit(target: Target) -> bool:
    """A training process may not write more than a few bytes a file from now on, which is like a full device."""
    process = target.process()
    if process is None or not hasattr(resource, "prlimit"):
        return False
    with contextlib.suppress(ProcessLookupError):
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
    "a training process stopped for a while": hold,
    "killed, and its checkpoint truncated": damage(runs.CHECKPOINT, truncated, kill=True),
    "killed, and a bit of its checkpoint flipped": damage(runs.CHECKPOINT, flipped, kill=True),
    "killed, and its checkpoint emptied": damage(runs.CHECKPOINT, emptied, kill=True),
    "a result truncated": damage(runs.RESULT, truncated, kill=False),
    "a bit of a result flipped": damage(runs.RESULT, flipped, kill=False),
    "a result emptied": damage(runs.RESULT, emptied, kill=False),
    "progress and log deleted": forget,
    "locks and temporary files of the dead": leave_behind,
    "a frozen configuration touched": touch,
    "the device full for a while": fill,
    "no room for a training process's files": limit,
}


def _kill(process: int, number: signal.Signals) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True

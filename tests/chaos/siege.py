"""A sweep that is given no peace: faults at random moments, until it has had its share; then it must be complete."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from chaos.faults import FAULTS, Target
from chaos.outcome import computed, working_on
from roadmap import runs
from roadmap.errors import ConfigError

SWEEP = Path(__file__).resolve().parents[2] / "scripts" / "sweep.py"
PATIENCE_SECONDS, TRIES = 300.0, 3
ENDS = (0, 1, 130, 143, -2, -9, -15)
"""How a sweep may end: complete, with runs that failed, stopped, killed; by a signal also before it has begun."""


class Broken(AssertionError):
    """A promise was not kept: which one."""


@dataclass
class Siege:
    """A study under `place` that is swept until it is complete."""

    place: Path
    words: Sequence[str]
    chance: Random
    said: Path
    """Takes what the sweeps say."""
    device: Path | None = None
    had: list[str] = field(default_factory=list)
    """The faults so far."""

    @property
    def study(self) -> Path:
        """The directory of the study."""
        return self.place / "chaos"

    def start(self) -> subprocess.Popen[str]:
        """A sweep over the study, which says what it says into a file."""
        self.place.mkdir(exist_ok=True)
        command = [sys.executable, str(SWEEP), *self.words, "study.name=chaos", f"runs_dir={self.place}"]
        with self.said.open("a") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, text=True, cwd=SWEEP.parents[1])

    def endure(self, share: int) -> None:
        """Sweep under so many faults, and then in peace.

        Raises:
            Broken: a sweep ends as none may or is never complete, a finished run is repeated, or a process is left.
        """
        believed: dict[Path, int] = {}
        sweep = self.start()
        try:
            while len(self.had) < share:
                time.sleep(self.chance.uniform(0.3, 4))
                self.had += self.strike(Target(sweep, self.study, self.chance, self.device), believed)
                if sweep.poll() is not None:
                    self.ended(sweep)
                    sweep = self.start()
            self.ended(sweep)
            for _ in range(TRIES):  # what was damaged behind the last sweep's back, and what failed in it
                sweep = self.start()
                if self.ended(sweep) == 0:
                    break
            else:
                raise Broken(f"left in peace, {TRIES} sweeps in a row were not complete: see {self.said}")
        finally:
            sweep.kill()
            sweep.wait()
        self.see(believed)
        deadline = time.monotonic() + 30
        while left := working_on(self.study):
            if time.monotonic() > deadline:
                raise Broken(f"processes are left behind: {left}")
            time.sleep(0.2)

    def strike(self, target: Target, believed: dict[Path, int]) -> list[str]:
        """One fault that can be; returns its name."""
        self.see(believed)
        every = list(FAULTS)
        name = next((name for name in self.chance.sample(every, len(every)) if FAULTS[name](target)), None)
        damaged = [path for path in believed if not runs.finished(path.parent)] if name and "result" in name else []
        for path in damaged:  # and may be made again
            del believed[path]
        return [name] if name else []

    def see(self, believed: dict[Path, int]) -> None:
        """See that what was finished is as it was, and remember what is finished now.

        Raises:
            Broken: a finished run was repeated.
        """
        for path, written in believed.items():
            if not path.exists() or path.stat().st_mtime_ns != written:
                raise Broken(f"{path} was finished and is not what it was")
        for path in runs.find_results(self.study):
            if runs.finished(path.parent):
                believed[path] = path.stat().st_mtime_ns

    def ended(self, sweep: subprocess.Popen[str]) -> int:
        """Wait for a sweep to end; returns its exit code.

        Raises:
            Broken: it does not end, or not as it may.
        """
        try:
            code = sweep.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Broken(f"a sweep did not end in {PATIENCE_SECONDS:.0f} s") from None
        if code not in ENDS:
            raise Broken(f"a sweep ended with exit code {code}: see {self.said}")
        return code

    def outcome(self) -> dict[str, object]:
        """What every run has computed, by step and seed.

        Raises:
            Broken: a result is missing or not whole.
        """
        try:
            return {str(p.parent.relative_to(self.study)): computed(p.parent) for p in runs.find_results(self.study)}
        except (ConfigError, OSError, ValueError) as error:
            raise Broken(str(error)) from error

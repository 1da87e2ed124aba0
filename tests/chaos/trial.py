"""One study, swept under faults until it is complete."""

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

ROOT = Path(__file__).parents[2]
SWEEP_SECONDS, TRAINING_SECONDS, EXIT_SECONDS, TRIES = 300.0, 30.0, 30.0, 3
EXIT_CODES = (0, 1, 130, 143, -2, -9, -15)
"""Allowed ends of a sweep: complete, some runs failed, stopped, killed; the signals also before it has begun."""


class BrokenPromise(AssertionError):
    """What happened instead."""


@dataclass
class Trial:
    place: Path
    words: Sequence[str]
    random: Random
    log: Path
    """Output of the sweeps."""
    kinds: Sequence[str] = tuple(FAULTS)
    disk: Path | None = None
    """Root of a small file system that may be filled."""
    injected: list[str] = field(default_factory=list)
    """Names of the faults so far."""
    finished: dict[Path, int] = field(default_factory=dict)
    """Results of finished runs and when they were written: no sweep may write them again."""

    @property
    def study(self) -> Path:
        return self.place / "chaos"

    def start(self) -> subprocess.Popen[str]:
        self.place.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "roadmap", "sweep", *self.words, "study.name=chaos", f"runs_dir={self.place}"]
        with self.log.open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd=ROOT)

    def run(self, faults: int) -> dict[str, object]:
        """Sweep under faults, then undisturbed until the study is complete and no process is left; its outcome.

        Raises:
            BrokenPromise: as in all methods.
        """
        sweep = self.start()
        try:
            while len(self.injected) < faults:
                if self.random.random() < 0.75:  # on a busy machine, few faults would meet a run at work by chance
                    self.await_training(sweep)
                time.sleep(self.random.uniform(0.3, 4))
                self.inject(Target(sweep, self.study, self.random, self.disk))
                if sweep.poll() is not None:
                    self.wait(sweep)
                    sweep = self.start()
            self.wait(sweep)
            for _ in range(TRIES):  # repair damage done behind the last sweep's back, and runs that failed in it
                sweep = self.start()
                if self.wait(sweep) == 0:
                    break
            else:
                raise BrokenPromise(f"{TRIES} undisturbed sweeps in a row were not complete: see {self.log}")
        finally:
            sweep.kill()
            sweep.wait()
        self.check_finished()
        deadline = time.monotonic() + EXIT_SECONDS
        while left := working_on(self.study):
            if time.monotonic() > deadline:
                raise BrokenPromise(f"processes are left behind: {left}")
            time.sleep(0.2)
        return self.outcome()

    def await_training(self, sweep: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + TRAINING_SECONDS
        while sweep.poll() is None and not working_on(self.study) and time.monotonic() < deadline:
            time.sleep(0.1)

    def inject(self, target: Target) -> None:
        """Inject one random fault that is possible now."""
        self.check_finished()
        names = self.random.sample(self.kinds, len(self.kinds))
        name = next((name for name in names if FAULTS[name](target)), None)
        if name is None:
            return
        self.injected.append(name)
        if "result" in name:  # a damaged result must be computed again
            self.finished = {p: written for p, written in self.finished.items() if runs.finished(p.parent)}

    def check_finished(self) -> None:
        """See that no finished run was repeated, and remember new ones."""
        for path, written in self.finished.items():
            if not path.exists() or path.stat().st_mtime_ns != written:
                raise BrokenPromise(f"{path} was finished and has changed")
        for path in runs.find_results(self.study):
            if runs.finished(path.parent):
                self.finished[path] = path.stat().st_mtime_ns

    def wait(self, sweep: subprocess.Popen[str]) -> int:
        """Exit code of a sweep, which must end with one of EXIT_CODES."""
        try:
            code = sweep.wait(SWEEP_SECONDS)
        except subprocess.TimeoutExpired:
            raise BrokenPromise(f"a sweep did not end in {SWEEP_SECONDS:.0f} s") from None
        if code not in EXIT_CODES:
            raise BrokenPromise(f"a sweep ended with exit code {code}: see {self.log}")
        return code

    def outcome(self) -> dict[str, object]:
        """What every run computed, by step and seed."""
        try:
            return {str(p.parent.relative_to(self.study)): computed(p.parent) for p in runs.find_results(self.study)}
        except (ConfigError, OSError, ValueError) as error:
            raise BrokenPromise(str(error)) from error

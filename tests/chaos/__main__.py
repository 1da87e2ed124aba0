"""Inject faults into real sweeps at random moments; `main` says more."""

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from chaos.faults import FAULTS
from chaos.trial import BrokenPromise, Trial
from roadmap import cli
from roadmap.data.fetch import fetch
from roadmap.errors import require

DEFAULTS = {"n": "200", "seed": "0", "only": "", "data": "data", "place": ""}
FAULTS_PER_SWEEP = 20
TINY = (
    "study=smoke", "steps=[resnet,gelu]", "seeds=2", "jobs=2", "data.max_train=128", "data.max_test=70",
    "budget.batch_size=32", "budget.bn_batch_size=16", "training.checkpoint_minutes=0.0001",
)  # fmt: skip


def main(words: list[str]) -> int:
    """Inject faults into real sweeps at random moments, and compare every number with those of an undisturbed sweep.

        PYTHONPATH=.:tests python -m chaos               200 faults, 20 per sweep
        PYTHONPATH=.:tests python -m chaos n=20 seed=7   fewer, and others
        PYTHONPATH=.:tests python -m chaos only=kill     faults with this word in their names
        PYTHONPATH=.:tests python -m chaos data=/path/to/data place=/path/to/scratch

    Where it may mount a small file system (root on Linux), it also fills the disk.
    Exit code: 0 all survived, 1 not; the output of the sweeps is then left in `place`.
    """
    chosen = cli.options(words, DEFAULTS)
    n, data = cli.whole(chosen, "n"), Path(chosen["data"]).resolve()
    require(chosen["seed"].isdecimal(), "seed", chosen["seed"], "a whole number")
    kinds = [name for name in FAULTS if chosen["only"] in name]
    require(bool(kinds), "only", chosen["only"], f"part of a fault's name: {', '.join(FAULTS)}")
    fetch("fashion_mnist", data)
    place = Path(chosen["place"] or tempfile.mkdtemp(prefix="chaos-")).resolve()
    place.mkdir(parents=True, exist_ok=True)
    with small_disk(place / "device") as disk:
        make = partial(Trial, words=(*TINY, f"data.root={data}"), random=Random(int(chosen["seed"])), kinds=kinds)
        survived = run_trials(n, make, place, disk=disk)
    if survived and not chosen["place"]:
        shutil.rmtree(place)
    return 0 if survived else 1


def run_trials(n: int, make: Callable[..., Trial], place: Path, *, disk: Path | None) -> bool:
    """Run sweeps until `n` faults were injected, and print a table; returns whether all sweeps survived."""
    console, started = Console(soft_wrap=True, highlight=False), time.monotonic()
    expected = make(place / "quiet", log=place / "quiet.txt").run(faults=0)
    injected, survived = Counter[str](), Counter[str]()
    for number in itertools.count(1):
        trial = make((disk or place) / f"sweep-{number}", log=place / f"sweep-{number}.txt", disk=disk)
        try:
            found = trial.run(faults=min(FAULTS_PER_SWEEP, n - injected.total()))
            complaint = "" if found == expected else "its results differ from the undisturbed sweep"
        except BrokenPromise as broken:
            complaint = str(broken)
        injected.update(trial.injected)
        survived.update([] if complaint else trial.injected)
        shutil.move(trial.place, place / f"broken-{number}") if complaint else shutil.rmtree(trial.place)
        minutes = (time.monotonic() - started) / 60
        ended = complaint or "same results as undisturbed"
        console.print(f"{injected.total()} of {n} faults, {minutes:.1f} min: {trial.place.name}: {ended}")
        if injected.total() >= n:
            break
    table = Table("fault", "times", "survived")
    for name in FAULTS:
        table.add_row(name, str(injected[name]), str(survived[name]))
    table.add_row("all", str(injected.total()), str(survived.total()))
    console.print(table)
    return injected == survived


@contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """A file system of 64 MiB mounted at `place`; None where none can be mounted."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)  # a last process may still be ending


if __name__ == "__main__":
    sys.exit(cli.run("chaos", main, sys.argv[1:]))

"""Give real sweeps no peace: faults at random moments, after which every number must be what it is without them.

    python tests/chaos                    200 faults, in sweeps of twenty faults each
    python tests/chaos n=20 seed=7        fewer, and others
    python tests/chaos data=/path/to/data place=/path/to/scratch

Where this may mount a small file system of its own (root on Linux), the device is also filled.
Exit code: 0 all survived, 1 not. What the sweeps said is left in `place` if one did not.
"""

import argparse
import itertools
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from chaos.faults import FAULTS
from chaos.siege import Broken, Siege
from roadmap.cli import command, options
from roadmap.data.fetch import fetch
from roadmap.errors import require

DEFAULTS = {"n": "200", "seed": "0", "data": "data", "place": ""}
SHARE = 20
"""Faults a sweep."""
TINY = (
    "study=smoke", "steps=[resnet,gelu]", "seeds=2", "jobs=2", "data.max_train=128", "data.max_test=70",
    "budget.batch_size=32", "budget.bn_batch_size=16", "training.checkpoint_minutes=0.0001",
)  # fmt: skip


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="n, seed, data, place")
    chosen = options(parser.parse_args().words, DEFAULTS)
    for key in ("n", "seed"):
        require(chosen[key].isdigit(), key, chosen[key], "a whole number")
    data = Path(chosen["data"]).resolve()
    fetch("fashion_mnist", data)
    place = Path(chosen["place"] or tempfile.mkdtemp(prefix="chaos-")).resolve()
    place.mkdir(parents=True, exist_ok=True)
    with small_device(place / "device") as device:
        survived = besiege(int(chosen["n"]), int(chosen["seed"]), place, device, (*TINY, f"data.root={data}"))
    if survived and not chosen["place"]:
        shutil.rmtree(place)
    return 0 if survived else 1


def besiege(n: int, seed: int, place: Path, device: Path | None, words: tuple[str, ...]) -> bool:
    """Besiege sweeps until `n` faults were had, and print the table; returns whether all was survived."""
    console, chance, started = Console(soft_wrap=True, highlight=False), Random(seed), time.monotonic()
    quiet = Siege(place / "quiet", words, chance, place / "quiet.txt")
    quiet.endure(0)
    wanted = quiet.outcome()
    had: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for number in itertools.count(1):
        siege = Siege((device or place) / f"sweep-{number}", words, chance, place / f"sweep-{number}.txt", device)
        try:
            siege.endure(min(SHARE, n - had.total()))
            complaint = "" if siege.outcome() == wanted else "its results are not those of the undisturbed sweep"
        except Broken as broken:
            complaint = str(broken)
        had.update(siege.had)
        survived.update([] if complaint else siege.had)
        shutil.rmtree(siege.place) if not complaint else shutil.move(siege.place, place / f"broken-{number}")
        minutes = (time.monotonic() - started) / 60
        ended = complaint or "ended as if nothing had happened"
        console.print(f"{had.total()} of {n} faults, {minutes:.1f} min: {siege.place.name} {ended}")
        if had.total() >= n:
            break
    console.print(table(had, survived))
    return had == survived


def table(had: Counter[str], survived: Counter[str]) -> Table:
    """The faults, how often each was had, and how often the sweep under it ended as it should."""
    drawn = Table("fault", "times", "survived")
    for name in FAULTS:
        drawn.add_row(name, str(had[name]), str(survived[name]))
    drawn.add_section()
    drawn.add_row("all", str(had.total()), str(survived.total()))
    return drawn


@contextmanager
def small_device(place: Path) -> Iterator[Path | None]:
    """A file system of 64 MiB of its own; None where none can be mounted."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)  # a last process may still be leaving


if __name__ == "__main__":
    command(main)

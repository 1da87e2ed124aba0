"""What a tracker whose server does not answer costs a training: the same run with and without it, in alternation.

    python benchmarks/tracking.py                          the ResNet of the default study, three pairs
    python benchmarks/tracking.py pairs=5 +step=gelu       another run; any option of train.py
    python benchmarks/tracking.py server=silent            one that takes connections and never answers

Times are of the whole process from outside, of the training from its result, and of the processor. Both must compute
the same bits; the exit code is 1 if they do not.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from chaos.outcome import computed
from rich.console import Console

from roadmap import runs
from roadmap.cli import command
from roadmap.config.schema import Tracking
from roadmap.errors import require
from roadmap.files import in_use

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
MEASURED = {"process_seconds": "whole process", "wall_seconds": "training", "cpu_seconds": "processor"}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="pairs, server, and options as for train.py")
    words = parser.parse_args().words
    own = {key: word.partition("=")[2] for word in words for key in ("pairs", "server") if word.startswith(f"{key}=")}
    pairs, server = own.get("pairs", "3"), own.get("server", "closed")
    require(pairs.isdigit() and int(pairs) > 0, "pairs", pairs, "a number more than 0")
    require(server in ("closed", "silent"), "server", server, "closed or silent")
    asked = [word for word in words if word.partition("=")[0] not in ("pairs", "server")]
    console = Console(soft_wrap=True, highlight=False)
    found: dict[Tracking, list[dict[str, Any]]] = {Tracking.none: [], Tracking.wandb: []}
    with tempfile.TemporaryDirectory() as place, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        if server == "silent":
            closed.listen()
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for number in range(2 * int(pairs)):
            # none wandb wandb none none wandb ...: what grows with time falls on both
            tracking = list(found)[(number + 1) // 2 % 2]
            found[tracking].append(measure(Path(place) / str(number), [*asked, f"tracking={tracking.name}"], url))
            took = ", ".join(f"{title} {found[tracking][-1][key]:.2f} s" for key, title in MEASURED.items())
            console.print(f"tracking={tracking.name}: {took}")
    for key, title in MEASURED.items():
        without, mirrored = ([each[key] for each in found[tracking]] for tracking in found)
        console.print(f"{title}: {_told(without)} without, {_told(mirrored)} with: {_change(without, mirrored)}")
    first = found[Tracking.none][0]["computed"]
    same = all(each["computed"] == first for measured in found.values() for each in measured)
    console.print("the same bits" if same else "NOT the same bits")
    return 0 if same else 1


def measure(directory: Path, words: list[str], url: str) -> dict[str, Any]:
    """Train once, with a key for a server at `url`."""
    environment = os.environ | {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": url}
    environment.pop("WANDB_MODE", None)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(TRAIN), *words, f"runs_dir={directory}"], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    (run,) = directory.glob(f"*/*/*/{runs.RESULT}")
    while in_use(run.parent / runs.TRACKING):  # the mirror outlives the training, and must not meet the next one
        time.sleep(0.2)
    return {
        "process_seconds": seconds,
        "wall_seconds": runs.read_result(run)["wall_seconds"],
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "computed": computed(run.parent),
    }


def _told(seconds: list[float]) -> str:
    return f"{fmean(seconds):.2f} s" + (f" ± {stdev(seconds):.2f}" if len(seconds) > 1 else "")


def _change(before: list[float], after: list[float]) -> str:
    return f"{100 * (fmean(after) / fmean(before) - 1):+.2f} %"


if __name__ == "__main__":
    command(main)

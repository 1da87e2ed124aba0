"""Measure the cost of a tracker whose server does not answer."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from roadmap import cli, runs
from roadmap.files import in_use

DEFAULTS = {"pairs": "3", "server": "closed"}
TIMES = {"process_seconds": "whole process", "wall_seconds": "training", "cpu_seconds": "CPU time"}


def main(words: list[str]) -> int:
    """Measure the cost of a tracker whose server does not answer: train with and without it, in alternation.

        python benchmarks/tracking.py                          the ResNet of the default study, three pairs
        python benchmarks/tracking.py pairs=5 +step=gelu       another run; any option of train.py
        python benchmarks/tracking.py server=silent            a server that accepts connections and never answers

    Both must compute the same bits; the exit code is 1 if they do not.
    """
    own, overrides = cli.split(words, DEFAULTS, sweep=False)
    chosen = cli.options(own, DEFAULTS)
    pairs, server = cli.whole(chosen, "pairs"), cli.choice(chosen, "server", ("closed", "silent"))
    found: dict[str, list[dict[str, Any]]] = {"none": [], "wandb": []}
    with tempfile.TemporaryDirectory() as place, socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if server == "silent":
            port.listen()
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        for number in range(2 * pairs):
            # none wandb wandb none none wandb ...: a drift over time affects both
            tracking = list(found)[(number + 1) // 2 % 2]
            found[tracking].append(measure(Path(place) / str(number), [*overrides, f"tracking={tracking}"], url))
            took = ", ".join(f"{title} {found[tracking][-1][key]:.2f} s" for key, title in TIMES.items())
            print(f"tracking={tracking}: {took}", flush=True)
    for key, title in TIMES.items():
        without, mirrored = ([each[key] for each in runs_of] for runs_of in found.values())
        change = 100 * (fmean(mirrored) / fmean(without) - 1)
        print(f"{title}: {_mean(without)} without, {_mean(mirrored)} with: {change:+.2f} %")
    computed = [each["computed"] for runs_of in found.values() for each in runs_of]
    same = all(each == computed[0] for each in computed)
    print("the same bits" if same else "NOT the same bits")
    return 0 if same else 1


def measure(directory: Path, words: list[str], url: str) -> dict[str, Any]:
    """Train once, with a key for a server at `url`."""
    environment = os.environ | {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": url}
    environment.pop("WANDB_MODE", None)
    command = [sys.executable, "-m", "roadmap", "train", *words, f"runs_dir={directory}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    (path,) = directory.glob(f"*/*/*/{runs.RESULT}")
    while in_use(path.parent / runs.TRACKING):  # the sidecar outlives the training and must not disturb the next
        time.sleep(0.2)
    result = runs.read_result(path)
    return {
        "process_seconds": seconds,
        "wall_seconds": result["wall_seconds"],
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "computed": (result["metrics"], result["counts"]),
    }


def _mean(seconds: Sequence[float]) -> str:
    return f"{fmean(seconds):.2f} s" + (f" ± {stdev(seconds):.2f}" if len(seconds) > 1 else "")


if __name__ == "__main__":
    sys.exit(cli.run("tracking", main, sys.argv[1:]))

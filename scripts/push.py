"""Tell a tracker of a whole study, from its local files: every run with its epochs, then the table and the figure.

    python scripts/push.py                              the default study, on Weights & Biases
    python scripts/push.py study=smoke only=ladder      another one, without its runs; as words those of its sweep
    python scripts/push.py tracking=tensorboard         event files: tensorboard --logdir runs/fashion_mnist

The same as runs with tracking=wandb tell while they train, for those that had none or could not reach the server.
Pushed twice, a run is still one run. Without a key of Weights & Biases it makes files, for `wandb sync` to take there.
Exit code: 0 all told, 1 the server does not answer, 2 refused.
"""

import argparse
from pathlib import Path

from rich.console import Console

from roadmap import runs
from roadmap.cli import command, study_options
from roadmap.config.schema import Tracking
from roadmap.errors import ConfigError, require
from roadmap.files import in_use
from roadmap.tracking.mirror import mirror_ladder, mirror_run

DEFAULTS = {"tracking": "wandb", "only": "all"}
TRACKERS = [tracking.name for tracking in Tracking if tracking is not Tracking.none]


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="key=value",
        help="tracking, only, runs_dir, results_dir, and the words of the sweep",
    )
    chosen = study_options(parser.parse_args().words, DEFAULTS)
    require(chosen["tracking"] in TRACKERS, "tracking", chosen["tracking"], " or ".join(TRACKERS))
    # main_sequence is a word of the sweep, about which rungs it trains
    require(chosen["only"] in ("all", "ladder", "path", "main_sequence"), "only", chosen["only"], "all or ladder")
    tracking, console = Tracking[chosen["tracking"]], Console(soft_wrap=True, highlight=False)
    study, results = (Path(chosen[key]) / chosen["study"] for key in ("runs_dir", "results_dir"))
    begun = sorted(path.parent for path in study.glob(f"*/seed-*/{runs.METRICS}"))
    if not begun:
        raise ConfigError(f"study={chosen['study']}: no run in {study}")
    for directory in begun if chosen["only"] != "ladder" else []:
        if in_use(directory / runs.TRACKING):
            console.print(f"{directory}: left to the process that mirrors it as it trains")
            continue
        mirror_run(directory, tracking)
        console.print(directory)
    try:
        mirror_ladder(study, results, tracking)
    except FileNotFoundError as error:
        console.print(f"no ladder yet ({error.filename}): make collate plot STUDY={chosen['study']}")
    else:
        console.print(f"the ladder: {results}")
    return 0


if __name__ == "__main__":
    command(main)

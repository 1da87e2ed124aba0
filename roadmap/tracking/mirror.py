"""Mirror the files of a run or of a study to a tracker, while it trains or at any later time."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roadmap import cli, runs
from roadmap.config.compose import load, require_tracker
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Config, Tracking
from roadmap.errors import ConfigError, Locked, printable
from roadmap.files import lock, refuse_links
from roadmap.tracking.trackers import Record, open_tracker, scratch

POLL_SECONDS = 1.0
SUMMARY = ".summary"  # no step's name begins with a dot


def main(words: list[str]) -> int:
    """Send a whole study to a tracker from its local files: every run with its epochs, then the table and the figure.

        python scripts/push.py                              the default study, to Weights & Biases
        python scripts/push.py study=smoke only=ladder      another study, without its runs
        python scripts/push.py tracking=tensorboard         event files: tensorboard --logdir runs/fashion_mnist

    The study is named by the words of its sweep; runs_dir= and results_dir= say where its files are. It is for runs
    that trained without a tracker, or could not reach the server. A run that is pushed twice stays one run. Without a
    key for Weights & Biases, files are written for `wandb sync`.
    Exit code: 0 all sent, 1 the server does not answer, 2 refused.
    """
    # only=main_sequence is a word of the sweep: it selects the steps that are trained.
    chosen = cli.study_options(words, {"tracking": "wandb", "only": "all"})
    tracking = Tracking[cli.choice(chosen, "tracking", [each.name for each in Tracking if each is not Tracking.none])]
    require_tracker(tracking)
    only = cli.choice(chosen, "only", ("all", "ladder", "main_sequence", "path"))
    study, results = (Path(chosen[key]) / chosen["study"] for key in ("runs_dir", "results_dir"))
    directories = sorted(path.parent for path in study.glob(f"*/seed-*/{runs.METRICS}"))
    if not directories:
        raise ConfigError(f"study={chosen['study']}: no run in {study}")
    summary = study / SUMMARY / runs.TRACKING
    for place in (summary, *(directory / runs.TRACKING for directory in directories)):
        refuse_links(place, below=False)
    with lock(summary), scratch(summary):
        for directory in directories if only != "ladder" else []:
            try:
                with lock(directory / runs.TRACKING):
                    mirror_run(directory, tracking)
            except Locked:
                print(f"{directory}: skipped, the sidecar of its training mirrors it")
            else:
                print(directory)
        try:
            mirror_ladder(study, results, tracking)
        except FileNotFoundError as error:
            print(f"no table or figure yet ({error.filename}): make collate plot STUDY={chosen['study']}")
        else:
            print(f"table and figure: {results}")
    return 0


def mirror_run(
    directory: Path,
    tracking: Tracking,
    over: Callable[[float], bool] = lambda _: True,
    *,
    live: bool = False,
) -> None:
    """Log the run in `directory` to a tracker: all epochs so far, new ones until it is over, and its result.

    `over(seconds)` waits up to so many seconds for the end of the training and returns whether it ended. `live` limits
    the time that is spent on a server that does not answer. The caller holds directory/tracking.

    Raises:
        ConfigError: the run's configuration is damaged.
        ConnectionError: the tracker's server does not answer, or refuses the key.
    """
    record = run_record(load(directory / runs.CONFIG))
    tracker = open_tracker(tracking, record, directory / runs.TRACKING, live=live)
    logged, last = 0, False
    while not last:
        last = over(POLL_SECONDS)
        for line in runs.read_metrics(directory / runs.METRICS):
            # A run that resumes repeats epochs after its last checkpoint, with the same numbers.
            if line["epoch"] > logged:
                tracker.epoch(line)
                logged = line["epoch"]
    result = None
    if runs.finished(directory):  # its metrics at the top level
        whole = runs.read_result(directory / runs.RESULT)
        omitted = ("config", "metrics", runs.CHECKSUM)
        result = {key: value for key, value in whole.items() if key not in omitted} | whole["metrics"]
    tracker.close(result)


def mirror_ladder(study: Path, results: Path, tracking: Tracking) -> None:
    """Log the table and the figure in `results`; the tracker keeps its files in the directory `study` of runs.

    Raises:
        ConnectionError: the tracker's server does not answer, or refuses the key.
        FileNotFoundError: there is no table or no figure.
    """
    table, figure = results / "ladder.csv", results / "ladder.png"
    for path in (table, figure):
        path.stat()
    name, directory = study.name, study / SUMMARY / runs.TRACKING
    record = Record(f"ladder-{_hash(name)}", "the ladder", name, job_type="summary", config={"study": {"name": name}})
    tracker = open_tracker(tracking, record, directory, live=False)
    tracker.ladder(table, figure)
    tracker.close({})


def run_record(config: Config) -> Record:
    """A run as trackers know it. The id follows from what the run computes, so a resumed or requeued run keeps it."""
    plain, step = to_dict(config), config.step.name
    identity = _hash(digest(plain), config.study.name, step, str(config.seed))
    readable = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in step)[:60]
    name = f"{step} seed {config.seed}"
    id, shown = f"{readable}-{config.seed}-{identity}", _printable(plain)
    return Record(id, name, group=config.study.name, job_type="run", config=shown)


def _printable(value: Any) -> Any:
    """Plain data with the text in it escaped where it cannot be printed, like a path that is no UTF-8."""
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    return printable(value) if isinstance(value, str) else value


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]

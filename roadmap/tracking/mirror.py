"""From a run's files, or a study's, to a tracker: the same way while it trains and at any time after."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from roadmap import runs
from roadmap.config.compose import load, to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Config, Tracking
from roadmap.files import lock
from roadmap.tracking.trackers import Record, open_tracker

POLL_SECONDS = 1.0
SUMMARY = ".summary"  # no step begins with a dot


def mirror_run(
    directory: Path,
    tracking: Tracking,
    over: Callable[[float], bool] = lambda _: True,
    *,
    beside: bool = False,
    wait: float = 0.0,
) -> None:
    """Tell a tracker of the run in `directory`: all epochs so far, more as they come until it is over, how it ended.

    `over` waits up to so many seconds for the end of the training, and says whether it has come.

    Raises:
        ConfigError: the run's configuration is damaged.
        ConnectionError: the tracker's server does not answer, or refuses the key.
        Locked: another process still tells of it after `wait` seconds.
    """
    record = run_record(load(directory / runs.CONFIG))
    with lock(directory / runs.TRACKING, wait=wait):
        tracker = open_tracker(tracking, record, directory / runs.TRACKING, beside=beside)
        told, last = 0, False
        while not last:
            last = over(POLL_SECONDS)
            for line in epochs(directory):
                # From its last checkpoint a run may do epochs again, with the same numbers: they are told once.
                if line["epoch"] > told:
                    tracker.epoch(line)
                    told = line["epoch"]
        whole = runs.finished(directory)
        result = runs.read_result(directory / runs.RESULT) if whole else {}
        tracker.close({k: v for k, v in result.items() if k not in ("config", runs.CHECKSUM)} if whole else None)


def mirror_ladder(study: Path, results: Path, tracking: Tracking) -> None:
    """Tell a tracker of a study as a whole: the table and the figure in `results`; it keeps its files in `study`.

    Raises:
        ConnectionError: the tracker's server does not answer, or refuses the key.
        FileNotFoundError: there is no table or no figure.
    """
    table, figure = results / "ladder.csv", results / "ladder.png"
    for path in (table, figure):
        path.stat()
    name = study.name
    record = Record(f"ladder-{_hash(name)}", "the ladder", group=name, kind="summary", config={"study": {"name": name}})
    with lock(study / SUMMARY / runs.TRACKING):
        tracker = open_tracker(tracking, record, study / SUMMARY / runs.TRACKING, beside=False)
        tracker.ladder(table, figure)
        tracker.close({})


def run_record(config: Config) -> Record:
    """What a tracker knows a run by: it follows from what the run computes, so no resume or requeue changes it."""
    plain, step = to_dict(config), config.step.name
    identity = _hash(digest(plain), config.study.name, step, str(config.seed))
    readable = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in step)[:60]
    name = f"{step} seed {config.seed}"
    return Record(f"{readable}-{config.seed}-{identity}", name, group=config.study.name, kind="run", config=plain)


def epochs(directory: Path) -> list[dict[str, Any]]:
    """The lines of metrics that a run has written so far."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in (directory / runs.METRICS).read_text().splitlines()]
    return []


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]

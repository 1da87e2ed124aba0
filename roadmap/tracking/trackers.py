"""The supported trackers. Each replaces its files of an earlier log, and imports its library late."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadmap.config.schema import Tracking
from roadmap.errors import require, shortage
from roadmap.files import remove_tree

PROJECT = "convnet-roadmap"
SCRATCH, SOCKET = "tmp", "w" * 32  # as long as the names of wandb's own sockets
ANSWER_SECONDS = 20.0  # a sidecar waits this long for a server to answer, and to take the last data of a run
TEARDOWN_SECONDS = 5.0  # time for wandb's own process to end after an error; sometimes it never does

# wandb would record the machine and the commit of this process; the result has those of the training.
SETTINGS: dict[str, Any] = {"console": "off", "silent": True, "save_code": False, "x_save_requirements": False}
SETTINGS |= dict.fromkeys(("disable_git", "x_disable_machine_info", "x_disable_meta", "x_disable_stats"), True)


@dataclass(frozen=True)
class Record:
    """A run as a tracker knows it, in the words of wandb; `id` is unique and stable."""

    id: str
    name: str
    group: str
    job_type: str
    config: dict[str, Any]


@contextmanager
def scratch(directory: Path) -> Iterator[None]:
    """Let libraries keep temporary files in `directory`/tmp, which is removed at the end; for its holder only.

    A process that is killed leaves them there, where the next one removes them. Sockets stay in the system's temporary
    directory if `directory` takes none: its path may be too long, or its file system have none.
    """
    folder, before = (directory / SCRATCH).absolute(), (tempfile.tempdir, os.environ.get("TMPDIR"))
    remove_tree(folder)
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(folder / SOCKET))
        os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("TMPDIR", None)
        if before[1] is not None:
            os.environ["TMPDIR"] = before[1]
        remove_tree(folder)


def open_tracker(tracking: Tracking, record: Record, directory: Path, *, live: bool) -> "Wandb | TensorBoard":
    """A tracker with its files in `directory`, where it replaces those of an earlier log.

    If the server does not answer or refuses the key, it falls back to files with `live`, else raises ConnectionError.
    """
    remove_tree(directory / tracking.name)
    if tracking is Tracking.tensorboard:
        return TensorBoard(record, directory / tracking.name)
    return Wandb(record, directory, live=live)


class Wandb:
    """A run of Weights & Biases: on the server if there is a key, else in files for `wandb sync`.

    WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_BASE_URL have their usual meaning.
    """

    def __init__(self, record: Record, directory: Path, *, live: bool) -> None:
        import wandb

        named = str(directory.absolute())
        require(named.isprintable(), "tracking", "wandb", f"a directory whose name can be printed, not {named}")
        self._wandb = wandb
        mode = os.environ.get("WANDB_MODE", "")
        try:
            mode = mode or ("online" if wandb.login(prompt=False) else "offline")
            self._run = self._init(record, directory, mode, live=live)
        except Exception as error:
            if shortage(error):
                raise
            teardown = threading.Thread(target=wandb.teardown, kwargs={"exit_code": 1}, daemon=True)
            teardown.start()
            teardown.join(TEARDOWN_SECONDS)
            if not live or mode == "offline":
                raise ConnectionError(f"wandb: {error}") from error
            print(f"wandb does not answer; this run is logged to files: {error}", flush=True)
            remove_tree(directory / "wandb")
            self._run = self._init(record, directory, "offline", live=live)

    def _init(self, record: Record, directory: Path, mode: Any, *, live: bool) -> Any:
        limits: dict[str, Any] = {"init_timeout": ANSWER_SECONDS, "finish_timeout": ANSWER_SECONDS} if live else {}
        return self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            **vars(record),
            dir=directory,
            mode=mode,
            resume=None if mode == "offline" else "allow",  # the server drops epochs that it already has
            settings=self._wandb.Settings(**SETTINGS, **limits),
        )

    def epoch(self, line: Mapping[str, float]) -> None:
        """Log a line of metrics."""
        self._run.log(dict(line), step=int(line["epoch"]))

    def ladder(self, table: Path, figure: Path) -> None:
        """Log a study's table (CSV) and figure (PNG)."""
        import pandas

        rows = self._wandb.Table(dataframe=pandas.read_csv(table))
        self._run.log({"ladder": rows, "figure": self._wandb.Image(str(figure))})

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Log the result and close; None if the run did not finish."""
        if result:
            self._run.summary.update(dict(result))
        self._run.finish(exit_code=0 if result is not None else 1)


class TensorBoard:
    """Event files for TensorBoard, behind the methods of `Wandb`."""

    def __init__(self, record: Record, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(directory), flush_secs=10)
        self._text("config", json.dumps(record.config, indent=1))

    def _text(self, tag: str, content: str) -> None:
        self._writer.add_text(tag, f"```\n{content}\n```")

    def epoch(self, line: Mapping[str, float]) -> None:
        for key, value in line.items():
            self._writer.add_scalar(key, value, int(line["epoch"]))

    def ladder(self, table: Path, figure: Path) -> None:
        import numpy
        from PIL import Image

        self._text("ladder", table.read_text())
        self._writer.add_image("figure", numpy.array(Image.open(figure).convert("RGB")), dataformats="HWC")

    def close(self, result: Mapping[str, Any] | None) -> None:
        if result:
            self._text("result", json.dumps(result, indent=1))
        self._writer.close()

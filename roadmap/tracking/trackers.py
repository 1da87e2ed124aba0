"""The trackers there are, behind one small interface. Each writes afresh what it is told, and imports itself late."""

import json
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from roadmap.config.schema import Tracking

PROJECT = "convnet-roadmap"
ANSWER_SECONDS = 20.0
"""How long a process beside a training waits for a server to answer, and for it to take the last of a run."""

PARTING_SECONDS = 5.0
"""How long the end of wandb's own process is waited for after a server did not answer: sometimes it never comes."""


@dataclass(frozen=True)
class Record:
    """A run as a tracker knows it."""

    id: str
    """The same whenever this run is told, and no other run's."""
    name: str
    group: str
    kind: str
    config: dict[str, Any]


class Tracker(Protocol):
    """What is told of a run, or of a study."""

    def epoch(self, line: Mapping[str, float]) -> None:
        """A line of metrics."""

    def ladder(self, table: Path, figure: Path) -> None:
        """A study's table (CSV) and figure (PNG)."""

    def close(self, result: Mapping[str, Any] | None) -> None:
        """How it ended; without a result it did not, or not yet."""


def open_tracker(tracking: Tracking, record: Record, directory: Path, *, beside: bool) -> Tracker:
    """A tracker that keeps its files in `directory`, in place of what it kept there before.

    Beside a training it takes no more than a bounded time for a server, and then keeps files only.

    Raises:
        ConnectionError: the server does not answer, or refuses the key.
    """
    shutil.rmtree(directory / tracking.name, ignore_errors=True)
    if tracking is Tracking.tensorboard:
        return TensorBoard(record, directory / tracking.name)
    return Wandb(record, directory, beside=beside)


class Wandb:
    """A run of Weights & Biases, on its server where there is a key, else in files that `wandb sync` takes there.

    WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_BASE_URL mean what they always do.
    """

    def __init__(self, record: Record, directory: Path, *, beside: bool) -> None:
        import wandb

        self._wandb = wandb
        mode = os.environ.get("WANDB_MODE", "")
        try:
            mode = mode or ("online" if wandb.login(prompt=False) else "offline")
            self._run = self._begin(record, directory, mode, beside=beside)
        except Exception as error:
            parting = threading.Thread(target=wandb.teardown, kwargs={"exit_code": 1}, daemon=True)
            parting.start()
            parting.join(PARTING_SECONDS)
            if not beside or mode == "offline":
                raise ConnectionError(f"wandb: {error}") from error
            print(f"wandb does not answer, so this goes into files: {error}", flush=True)
            shutil.rmtree(directory / "wandb", ignore_errors=True)
            self._run = self._begin(record, directory, "offline", beside=beside)

    def _begin(self, record: Record, directory: Path, mode: Any, *, beside: bool) -> Any:
        bounds: dict[str, Any] = {"init_timeout": ANSWER_SECONDS, "finish_timeout": ANSWER_SECONDS} if beside else {}
        return self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=record.id,
            name=record.name,
            group=record.group,
            job_type=record.kind,
            config=record.config,
            dir=directory,
            mode=mode,
            resume=None if mode == "offline" else "allow",  # a server drops the epochs that it has
            # Our files tell of the machine and the commit of the training; wandb would tell of this process.
            settings=self._wandb.Settings(
                console="off",
                disable_git=True,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
                **bounds,
            ),
        )

    def epoch(self, line: Mapping[str, float]) -> None:
        """A line of metrics."""
        self._run.log(dict(line), step=int(line["epoch"]))

    def ladder(self, table: Path, figure: Path) -> None:
        """A study's table (CSV) and figure (PNG)."""
        import pandas

        rows = self._wandb.Table(dataframe=pandas.read_csv(table))
        self._run.log({"ladder": rows, "figure": self._wandb.Image(str(figure))})

    def close(self, result: Mapping[str, Any] | None) -> None:
        """How it ended; without a result it did not, or not yet."""
        if result:
            self._run.summary.update(dict(result))
        self._run.finish(exit_code=0 if result is not None else 1)


class TensorBoard:
    """Event files for TensorBoard."""

    def __init__(self, record: Record, store: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(store), flush_secs=10)
        self._text("config", record.config)

    def _text(self, tag: str, content: Mapping[str, Any]) -> None:
        self._writer.add_text(tag, "```\n" + json.dumps(content, indent=1) + "\n```")

    def epoch(self, line: Mapping[str, float]) -> None:
        """A line of metrics."""
        for key, value in line.items():
            self._writer.add_scalar(key, value, int(line["epoch"]))

    def ladder(self, table: Path, figure: Path) -> None:
        """A study's table (CSV) and figure (PNG)."""
        import numpy
        from PIL import Image

        self._writer.add_text("ladder", "```\n" + table.read_text() + "```")
        self._writer.add_image("figure", numpy.array(Image.open(figure).convert("RGB")), dataformats="HWC")

    def close(self, result: Mapping[str, Any] | None) -> None:
        """How it ended; without a result it did not, or not yet."""
        if result:
            self._text("result", result)
        self._writer.close()

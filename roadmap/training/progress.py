"""The progress of a run: a bar on a terminal, plain lines elsewhere, and progress.json for the sweep."""

import time
from pathlib import Path
from typing import Any, Self

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from roadmap.config.schema import Config
from roadmap.files import write_atomic
from roadmap.runs import PROGRESS, json_lines
from roadmap.terminal import Terminal

FILE_SECONDS, LINE_SECONDS = 1.0, 10.0


class Progress:
    """Reports the steps and epochs of one run, from one of its processes."""

    def __init__(self, config: Config, directory: Path, *, speaks: bool = True) -> None:
        self._recipe, self._file, self._speaks = config.recipe, directory / PROGRESS, speaks
        self._console = Terminal(quiet=not speaks)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._name = f"{config.step.name} seed {config.seed}"
        self._task = self._bar.add_task(self._name, total=None, note="")
        self._filed = self._printed = self._last = time.monotonic()
        self._steps, self._epochs, self._rate, self._begun = 0, config.recipe.epochs, 0.0, self._last
        self._top1: float | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, steps: int, epochs: int, seconds: float = 0.0) -> None:
        """Set the steps and epochs of the whole run, and the seconds that earlier processes worked on it."""
        self._steps, self._epochs, self._last = steps, epochs, time.monotonic()
        self._begun = self._last - seconds
        self._bar.update(self._task, total=steps)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"{self._name}: {text}")

    def step(self, step: int, loss: float, lr: float) -> None:
        """Report an optimizer step, counted from 1."""
        if not self._speaks:
            return
        now = time.monotonic()
        rate = self._recipe.batch_size / max(now - self._last, 1e-9)
        self._rate, self._last = (0.9 * self._rate + 0.1 * rate) if self._rate else rate, now
        note = f"loss {loss:.3f}  lr {lr:.2e}  {self._rate:,.0f} images/s"
        self._bar.update(self._task, completed=step, note=note)
        if now - self._filed > FILE_SECONDS or step == self._steps:
            self._filed = now
            content = {
                "step": step,
                "steps": self._steps,
                "epoch": (step - 1) // max(1, self._steps // self._epochs),
                "epochs": self._epochs,
                "loss": loss,
                "images_per_second": self._rate,
                "top1": self._top1,
                "seconds": now - self._begun,
            }
            write_atomic(self._file, json_lines([content]))
        if not self._console.is_terminal and now - self._printed > LINE_SECONDS:
            self._printed = now
            left = (self._steps - step) * self._recipe.batch_size / self._rate
            self.say(f"step {step}/{self._steps}  {note}  {left:.0f} s left")

    def epoch(self, line: dict[str, Any]) -> None:
        """Report an epoch by its line of metrics.jsonl."""
        self._top1 = line["top1"]
        self.say(
            f"epoch {line['epoch']}/{self._epochs}  loss {line['loss']:.4f}  top-1 {line['top1']:.2f}  "
            f"(EMA {line['ema_top1']:.2f})  {line['images_per_second']:,.0f} images/s"
        )

"""Checkpoints, written whole or not at all; the one before is kept."""

import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from roadmap import runs
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest, identity, listed_difference
from roadmap.config.schema import Config
from roadmap.data.records import refuse_other_classes
from roadmap.errors import ConfigError, require, shortage
from roadmap.files import write_atomic
from roadmap.networks.weight_files import initial_weights
from roadmap.run_files import CheckpointFile
from roadmap.runs import CHECKPOINT, PREVIOUS_CHECKPOINT
from roadmap.training.diagnosis import nonfinite_parameter
from roadmap.training.distributed import World
from roadmap.training.progress import Progress
from roadmap.training.state import State, dump_state, initial_state, load_state

FORMAT = 1
NEW = f"{CHECKPOINT}.new"  # complete, but not renamed yet: the process died in between


@dataclass(kw_only=True)
class Checkpointer:
    """Begins a run from its newest checkpoint, writes checkpoints and metrics, and knows when a checkpoint is due."""

    directory: Path
    config: Config
    world: World
    progress: Progress
    data: dict[str, Any] | None = None  # the fingerprint of the images
    classes: Sequence[str] = ()  # names by label, as far as the files tell
    before: float | None = None  # seconds of the run before this process began
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def begin(self, device: torch.device) -> State:
        """The state of the newest whole checkpoint, which must be of the same run and images, or the initial state.

        The initial state is that of the seed, or has the weights of recipe.init_weights.
        """
        config, state = self.config, initial_state(self.config, device, self.world)
        state.data, state.classes = self.data, [*self.classes]
        if plan := state.plan.description(min(config.recipe.bn_batch_size, config.recipe.batch_size)):
            self.progress.say(f"to stay within training.memory_gb={config.training.memory_gb}: {plan}")
        if saved := self._restore():
            runs.refuse_other_data(self.directory, saved.get("data"), self.data)
            there, of = saved.get("classes", ()), str(self.directory / runs.CHECKPOINT)
            refuse_other_classes(there, self.classes, where=config.data.root, of=of)
            count = saved.get("processes")
            same = not config.recipe.sync_bn or count == self.world.size
            require(same, "recipe.sync_bn", True, f"{count} processes, as the run began, not {self.world.size}")
            self._load(state, saved)
            changed = [f"{name} {found}" for name, found in state.versions.items() if " and " in found]
            self.progress.say(f"resumed at step {state.step}{''.join(f'; trained under {each}' for each in changed)}")
        elif config.recipe.init_weights:
            weights, said = initial_weights(config)
            for network in (state.model, state.ema.module):
                network.load_state_dict(state.model.state_dict() | weights)
            self.progress.say(said)
        if self.world.first and self.data:
            runs.write_json(self.directory / runs.DATA, self.data)
        if self.before is None:
            self.before = state.seconds
        return state

    def _load(self, state: State, saved: dict[str, Any]) -> None:
        """`load_state`; a ConfigError if the tensors of the checkpoint are not those of this run."""
        try:
            load_state(state, saved)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if shortage(error):
                raise
            why = " ".join(str(error).split())[:200]
            raise ConfigError(f"{self.directory / CHECKPOINT}: not a state of this run: {why}") from error

    def save(self, state: State) -> None:
        """Write a checkpoint, unless a weight is not finite: the next step will fail on it."""
        self.saved = time.monotonic()
        state.seconds = (self.before or 0.0) + self.saved - self.started
        if self.world.first and not nonfinite_parameter(state.model):
            save(self.directory, dump_state(state), to_dict(self.config))

    def due(self) -> bool:
        """Whether a checkpoint is due within an epoch."""
        minutes = self.config.training.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def write_metrics(self, state: State) -> None:
        """Write metrics.jsonl with the lines of all epochs so far."""
        if self.world.first:
            write_atomic(self.directory / runs.METRICS, runs.json_lines(state.history))

    def _restore(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, the same for all processes."""
        plain, first = to_dict(self.config), self.world.first
        try:
            saved = restore(self.directory, plain) if first else None
        finally:
            self.world.gather()  # the first removes damaged files before the others look
        saved = saved if first else restore(self.directory, plain)
        if len(set(self.world.gather(str(saved["step"] if saved else "none")))) > 1:
            raise RuntimeError(f"{self.directory}: processes found different checkpoints: do they share a file system?")
        return saved


def save(directory: Path, state: dict[str, Any], config: dict[str, Any]) -> None:
    """Write the newest checkpoint of a configuration; at any moment, a whole one is on disk."""
    new, current = directory / NEW, directory / CHECKPOINT
    label = {"format": FORMAT, "config_hash": digest(config), "identity": identity(config)}
    write_atomic(new, lambda stream: torch.save(label | state, stream))
    if current.exists():
        current.replace(directory / PREVIOUS_CHECKPOINT)
    new.replace(current)


def restore(directory: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The newest whole checkpoint; None if there is none. Damaged ones are removed.

    One of another format or configuration is kept, and refused by a ConfigError.
    """
    for path in (directory / NEW, directory / CHECKPOINT, directory / PREVIOUS_CHECKPOINT):
        if (state := _read(path)) is None:
            path.unlink(missing_ok=True)  # or the next save would move it over a whole one
            continue
        if (found := state.get("format")) != FORMAT:
            raise ConfigError(
                f"{path}: a checkpoint of format {found}, but this version reads {FORMAT}: "
                "finish the run with the version that began it, or move the file away to start again"
            )
        runs.checked(state, CheckpointFile, path)
        if state["config_hash"] != digest(config):
            keys = listed_difference(state["identity"], identity(config))
            raise ConfigError(f"{path}: a checkpoint of another run: {keys}: move it away to start again")
        return state
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None if it is missing or damaged. The archive has a CRC of each record."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)  # refuses a pickle that would run code
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except Exception as error:  # a damaged file fails in many ways, and none of them may stop the run
        if shortage(error):
            raise
        return None
    return state if isinstance(state, dict) else None

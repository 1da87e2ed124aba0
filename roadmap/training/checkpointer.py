"""What a run leaves on disk while it trains, and how it begins from what is there."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from roadmap import runs
from roadmap.config.compose import to_dict
from roadmap.config.schema import Config
from roadmap.files import write_atomic
from roadmap.training import checkpoint
from roadmap.training.diagnosis import unsound
from roadmap.training.distributed import World
from roadmap.training.progress import Progress
from roadmap.training.state import State, dump_state, initial_state, load_state


@dataclass
class Keeper:
    """Writes a run's checkpoints and metrics, from one of its processes, and knows when a checkpoint is due."""

    directory: Path
    config: Config
    writes: bool
    before: float
    """Seconds of work that led to where this process began."""
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def save(self, state: State) -> None:
        """Write a checkpoint, unless it would hold weights that are not finite: the next step fails with them."""
        self.saved = time.monotonic()
        state.seconds = self.before + self.saved - self.started
        if self.writes and not unsound(state.model):
            checkpoint.save(self.directory, dump_state(state), to_dict(self.config))

    def due(self) -> bool:
        """Whether a checkpoint is due in mid-epoch."""
        minutes = self.config.training.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def write_metrics(self, state: State) -> None:
        """Write the lines of all epochs so far."""
        if self.writes:
            write_atomic(self.directory / runs.METRICS, runs.json_lines(state.history))


def begin(
    directory: Path,
    config: Config,
    device: torch.device,
    world: World,
    progress: Progress,
    *,
    data: dict[str, Any] | None = None,
) -> State:
    """The state in the newest whole checkpoint, or the first of all; `data` is the fingerprint of the images.

    Raises:
        ConfigError: the checkpoint is of other images; see also `restore`.
    """
    state = initial_state(config, device, world)
    state.data = data
    if told := state.room.told(min(config.recipe.bn_batch_size, config.recipe.batch_size)):
        progress.say(f"to keep within training.memory_gb={config.training.memory_gb}: {told}")
    if saved := restore(directory, config, world):
        runs.refuse_other_data(directory, saved.get("data"), data)
        load_state(state, saved)
        progress.say(f"going on from step {state.step}")
    if world.first and data:
        runs.write_json(directory / runs.DATA, data)
    return state


def restore(directory: Path, config: Config, world: World) -> dict[str, Any] | None:
    """The newest whole checkpoint, the same for all processes.

    Raises:
        ConfigError: it is of another format or configuration.
        RuntimeError: they do not see the same files.
    """
    plain = to_dict(config)
    try:
        saved = checkpoint.restore(directory, plain) if world.first else None
    finally:
        world.say()  # the first removes what is damaged, before the others look; what it refuses, they refuse too
    saved = saved if world.first else checkpoint.restore(directory, plain)
    if len(set(world.say(str(saved["step"] if saved else "nothing")))) > 1:
        raise RuntimeError(f"{directory}: the processes found different checkpoints: do they share its file system?")
    return saved

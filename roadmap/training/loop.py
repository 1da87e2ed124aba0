"""The training loop. Its randomness is a function of (seed, epoch, index) and (seed, step), not of its state."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roadmap import runs
from roadmap.config import digest, to_dict
from roadmap.data.augment import Part, batches_per_epoch, epoch_batches, evaluation_batches
from roadmap.data.load import load
from roadmap.data.randomness import mix
from roadmap.files import write_atomic
from roadmap.schema import Config
from roadmap.signals import Interrupted
from roadmap.training import checkpoint
from roadmap.training.diagnosis import NonFiniteLoss, first_nonfinite
from roadmap.training.evaluation import evaluate
from roadmap.training.machine import peak_memory_mb, set_up
from roadmap.training.progress import Progress
from roadmap.training.recipe import learning_rate, loss_function
from roadmap.training.state import Clock, State, dump_state, initial_state, load_state


@dataclass
class Keeper:
    """Writes a run's checkpoints and metrics, and knows when the next checkpoint is due."""

    directory: Path
    config: Config
    before: float
    """Seconds of work that led to where this process began."""
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def save(self, state: State) -> None:
        """Write a checkpoint."""
        self.saved = time.monotonic()
        state.seconds = self.before + self.saved - self.started
        checkpoint.save(self.directory, dump_state(state, digest(to_dict(self.config))))

    def due(self) -> bool:
        """Whether a checkpoint is due in mid-epoch."""
        minutes = self.config.training.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved > 60 * minutes

    def write_metrics(self, state: State) -> None:
        """Write the lines of all epochs so far."""
        write_atomic(self.directory / runs.METRICS, runs.json_lines(state.history))


def train(config: Config, directory: Path, progress: Progress, stop: list[int]) -> State:
    """Train from the newest checkpoint, or from the start, to the end; signal numbers appear in `stop`.

    Raises:
        Interrupted: something appeared in `stop`; a checkpoint was written.
        NonFiniteLoss: naming the step, the rung and the first module whose output was not finite.
    """
    device = set_up(config)
    training, test = (load(config, train=part).to(device) for part in (True, False))
    epochs, per_epoch = config.recipe.epochs, batches_per_epoch(training, config.recipe)
    state = initial_state(config, device)
    if saved := checkpoint.restore(directory, digest(to_dict(config))):
        load_state(state, saved)
        progress.say(f"going on from step {state.step}")
    keeper = Keeper(directory, config, before=state.seconds)
    progress.begin(epochs * per_epoch)
    while len(state.history) < epochs:
        train_epoch(state, training, config, keeper, progress, stop)
        refuse_nonfinite_weights(state, config)
        state.history.append(end_epoch(state, test, config, device, per_epoch))
        state.loss_sum, state.skipped, state.clock = 0.0, 0, Clock()
        progress.epoch(state.history[-1])
        if len(state.history) % config.training.checkpoint_epochs == 0 or len(state.history) == epochs:
            keeper.save(state)
        keeper.write_metrics(state)
    keeper.write_metrics(state)  # a process may have died between its last checkpoint and its last line
    return state


def train_epoch(
    state: State, training: Part, config: Config, keeper: Keeper, progress: Progress, stop: list[int]
) -> None:
    """The steps of the epoch that are not done yet.

    Raises:
        Interrupted: something appeared in `stop`; a checkpoint was written.
        NonFiniteLoss: see `train_step`.
    """
    epoch, per_epoch = len(state.history), batches_per_epoch(training, config.recipe)
    first = state.step - epoch * per_epoch
    skipped = len(training.skipped)
    mark = time.perf_counter()
    for images, targets in epoch_batches(
        training, config.recipe, config.data, seed=config.seed, epoch=epoch, start=first
    ):
        ready = time.perf_counter()
        loss = train_step(state, images, targets, config, per_epoch)
        done = time.perf_counter()
        state.ema.update()
        state.loss_sum += loss
        state.step += 1
        for line in training.skipped[skipped:]:
            progress.say(f"{line}: skipped")
        state.skipped += len(training.skipped) - skipped
        skipped = len(training.skipped)
        progress.step(state.step, loss, state.optimizer.param_groups[0]["lr"])
        state.clock.data += ready - mark
        state.clock.compute += done - ready
        if stop or keeper.due():
            keeper.save(state)
        if stop:
            raise Interrupted(stop[0])
        mark = time.perf_counter()
        state.clock.other += mark - done


def train_step(state: State, images: Tensor, targets: Tensor, config: Config, per_epoch: int) -> float:
    """One optimizer step on (B, C, H, W), in forward passes of bn_batch_size images; returns the mean loss."""
    recipe = config.recipe
    torch.manual_seed(mix(config.seed, state.step))  # for stochastic depth
    rate = learning_rate(recipe, step=state.step, steps_per_epoch=per_epoch)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.model.train()
    state.optimizer.zero_grad()
    total = 0.0
    for part, wanted in zip(images.split(recipe.bn_batch_size), targets.split(recipe.bn_batch_size), strict=True):
        loss = loss_function(state.model(part), wanted, recipe.smoothing) * (len(part) / len(images))
        loss.backward()
        total += loss.item()
        if not math.isfinite(total):
            torch.manual_seed(mix(config.seed, state.step))  # the same stochastic depth again
            module = first_nonfinite(state.model, part)
            raise NonFiniteLoss(
                f"loss is {total} at step {state.step} of {config.step.name}: first not finite: {module}"
            )
    state.optimizer.step()
    return total


def refuse_nonfinite_weights(state: State, config: Config) -> None:
    """See that the last step of an epoch, after which no loss is computed, left numbers.

    Raises:
        NonFiniteLoss: naming the first parameter that is not finite.
    """
    for name, parameter in state.model.named_parameters():
        if not parameter.isfinite().all():
            raise NonFiniteLoss(f"after step {state.step} of {config.step.name}: first not finite: {name}")


def end_epoch(state: State, test: Part, config: Config, device: torch.device, per_epoch: int) -> dict[str, Any]:
    """Evaluate raw and averaged weights; returns the epoch's line of metrics."""
    started = time.perf_counter()
    size = config.training.eval_batch_size
    raw, ema = evaluate([state.model, state.ema.module], evaluation_batches(test, config.data, size))
    state.clock.evaluation = time.perf_counter() - started
    clock, recipe = state.clock, config.recipe
    return {
        "epoch": len(state.history) + 1,
        "step": state.step,
        "loss": state.loss_sum / per_epoch,
        "lr": learning_rate(recipe, step=state.step - 1, steps_per_epoch=per_epoch),
        "skipped_images": state.skipped,
        "test_images": raw.total,
        "top1_count": raw.top1,
        "top1": 100 * raw.top1 / raw.total,
        "top5_count": raw.top5,
        "top5": 100 * raw.top5 / raw.total,
        "ema_top1_count": ema.top1,
        "ema_top1": 100 * ema.top1 / ema.total,
        "ema_top5_count": ema.top5,
        "ema_top5": 100 * ema.top5 / ema.total,
        "images_per_second": per_epoch * recipe.batch_size / clock.training(),
        "data_share": clock.data / clock.training(),
        "overhead_share": (clock.data + clock.other) / clock.training(),
        "training_seconds": clock.training(),
        "evaluation_seconds": clock.evaluation,
        "peak_memory_mb": peak_memory_mb(device),
    }

"""The training loop. Its state is `State`; its randomness is a function of (seed, epoch, index) and (seed, step)."""

import math
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from roadmap import runs
from roadmap.config import digest, to_dict
from roadmap.data.augment import batches_per_epoch, epoch_batches, evaluation_batches
from roadmap.data.memory import Images, load
from roadmap.data.randomness import mix
from roadmap.files import write_atomic
from roadmap.model.create import build
from roadmap.schema import Config
from roadmap.training import checkpoint
from roadmap.training.diagnosis import NonFiniteLoss, first_nonfinite
from roadmap.training.evaluation import evaluate
from roadmap.training.progress import Progress
from roadmap.training.recipe import learning_rate, loss_function, make_optimizer


class Interrupted(Exception):
    """The run was asked to stop; it goes on from its checkpoint when started again."""


@dataclass
class Clock:
    """Seconds of an epoch, by what they went into."""

    compute: float = 0.0
    """Forward, backward, optimizer."""
    data: float = 0.0
    """Waiting for a batch."""
    other: float = 0.0
    """Everything else between the first and the last step."""
    evaluation: float = 0.0

    def training(self) -> float:
        """Seconds from the first to the last step."""
        return self.compute + self.data + self.other


@dataclass
class State:
    """All that a run carries from one step to the next."""

    model: nn.Module
    ema: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of this epoch so far."""
    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    """Of all work that led here."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A line of metrics an epoch."""


def train(config: Config, directory: Path, progress: Progress, stop: list[int]) -> State:
    """Train from the newest checkpoint, or from the start, to the end; signal numbers appear in `stop`.

    Raises:
        Interrupted: something appeared in `stop`; a checkpoint was written.
        NonFiniteLoss: naming the step, the rung and the first module whose output was not finite.
    """
    device = set_up(config)
    training, test = load(config.data, train=True), load(config.data, train=False)
    state = initial_state(config, device)
    name = digest(to_dict(config))
    restored = checkpoint.restore(directory, name)
    if restored:
        load_state(state, restored)
        progress.say(f"going on from step {state.step}")
    per_epoch = batches_per_epoch(training, config.recipe)
    progress.begin(config.recipe.epochs * per_epoch)
    saved = started = time.monotonic()
    before = state.seconds

    def save() -> None:
        nonlocal saved
        state.seconds, saved = before + time.monotonic() - started, time.monotonic()
        checkpoint.save(directory, dump_state(state, name))

    while state.step < config.recipe.epochs * per_epoch:
        epoch, first = divmod(state.step, per_epoch)
        batches = epoch_batches(training, config.recipe, config.data, seed=config.seed, epoch=epoch, start=first)
        mark = time.perf_counter()
        for images, targets in batches:
            now = time.perf_counter()
            state.clock.data += now - mark
            loss = train_step(state, images.to(device), targets.to(device), config, per_epoch)
            mark = time.perf_counter()
            state.clock.compute += mark - now
            state.ema.update_parameters(state.model)
            state.loss_sum += loss
            state.step += 1
            progress.step(state.step, loss, learning_rate(config.recipe, step=state.step - 1, steps_per_epoch=per_epoch))
            if stop:
                save()
                raise Interrupted
            minutes = config.training.checkpoint_minutes
            if minutes and state.step % per_epoch and time.monotonic() - saved > 60 * minutes:
                save()
            mark, spent = time.perf_counter(), mark
            state.clock.other += mark - spent
        finish_epoch(state, test, config, device, per_epoch)
        progress.epoch(state.history[-1])
        if len(state.history) % config.training.checkpoint_epochs == 0 or len(state.history) == config.recipe.epochs:
            save()
        write_atomic(directory / runs.METRICS, runs.json_lines(state.history))
    return state


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
            module = first_nonfinite(state.model, part)
            raise NonFiniteLoss(f"loss is {total} at step {state.step} of {config.step.name}: first not finite: {module}")
    state.optimizer.step()
    return total


def finish_epoch(state: State, test: Images, config: Config, device: torch.device, per_epoch: int) -> None:
    """Evaluate raw and averaged weights, and add the epoch's line to the history."""
    started = time.perf_counter()
    size = config.training.eval_batch_size
    raw = evaluate(state.model, evaluation_batches(test, config.data, size), device)
    ema = evaluate(state.ema.module, evaluation_batches(test, config.data, size), device)
    state.clock.evaluation = time.perf_counter() - started
    clock, recipe = state.clock, config.recipe
    state.history.append(
        {
            "epoch": len(state.history) + 1,
            "step": state.step,
            "loss": state.loss_sum / per_epoch,
            "lr": learning_rate(recipe, step=state.step - 1, steps_per_epoch=per_epoch),
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
    )
    state.loss_sum, state.clock = 0.0, Clock()


def set_up(config: Config) -> torch.device:
    """Choose the device and make its arithmetic repeatable."""
    wanted = config.training.device.value
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    return device


def initial_state(config: Config, device: torch.device) -> State:
    """Weights as the seed gives them, the same for every rung that has the same layers."""
    torch.manual_seed(mix(config.seed))
    data, recipe = config.data, config.recipe
    model = build(
        config.model,
        num_classes=data.num_classes,
        in_chans=data.in_chans,
        drop_path=recipe.drop_path,
        channels_last=config.training.channels_last,
    ).to(device)
    average = get_ema_multi_avg_fn(recipe.model_ema_decay)
    return State(model, AveragedModel(model, multi_avg_fn=average, use_buffers=True), make_optimizer(model, recipe))


def dump_state(state: State, config_hash: str) -> dict[str, Any]:
    """A state as tensors and plain data."""
    return {
        "config_hash": config_hash,
        "step": state.step,
        "loss_sum": state.loss_sum,
        "seconds": state.seconds,
        "clock": vars(state.clock),
        "history": state.history,
        "model": state.model.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }


def load_state(state: State, saved: dict[str, Any]) -> None:
    """The reverse of `dump_state`."""
    state.step, state.loss_sum, state.seconds = saved["step"], saved["loss_sum"], saved["seconds"]
    state.clock, state.history = Clock(**saved["clock"]), saved["history"]
    state.model.load_state_dict(saved["model"])
    state.ema.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has held, in MB: of the accelerator where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

"""The training loop. Its randomness is a function of (seed, epoch, index) and (seed, step), not of its state."""

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from roadmap.config.schema import Config, OnNonfinite
from roadmap.data.fingerprint import fingerprint
from roadmap.data.loader import (
    Batch,
    Part,
    batches_per_epoch,
    evaluation_batches,
    load,
    micro_batches,
    micro_batches_per_step,
)
from roadmap.data.rng import mix
from roadmap.errors import require
from roadmap.evals.accuracy import evaluate
from roadmap.signals import Interrupted
from roadmap.training.checkpointer import Keeper, begin
from roadmap.training.compiling import compiles
from roadmap.training.device import arithmetic, peak_memory_mb, set_up
from roadmap.training.diagnosis import NonFiniteLoss, finite, first_nonfinite, unsound
from roadmap.training.distributed import World
from roadmap.training.memory import enter, parts
from roadmap.training.progress import Progress
from roadmap.training.recipe import learning_rate, loss_function
from roadmap.training.state import Clock, State


def train(config: Config, directory: Path, progress: Progress, stop: list[int], world: World) -> State:
    """Train from the newest checkpoint, or from the start, to the end; signal numbers appear in `stop`.

    Raises:
        ConfigError: the processes cannot share a step's forward passes evenly, or a checkpoint is of other images.
        Interrupted: something appeared in `stop`, of any process; a checkpoint was written.
        NonFiniteLoss: naming the step, the rung and the first module whose output was not finite; with
            training.on_nonfinite=rollback only after training.rollbacks returns to the last checkpoint.
    """
    device, passes = set_up(config), micro_batches_per_step(config.recipe)
    shared = f"what divides recipe.batch_size so that {world.size} processes share the passes (now {passes}) evenly"
    require(passes % world.size == 0, "recipe.bn_batch_size", config.recipe.bn_batch_size, shared)
    together = config.recipe.sync_bn
    require(together in (1, world.size), "recipe.sync_bn", together, f"1, or the number of processes: {world.size}")
    training, test = (load(config, train=part).to(device) for part in (True, False))
    compiled = compiles(config, len(training), device)
    config = replace(config, training=replace(config.training, compile=compiled))
    epochs, per_epoch = config.recipe.epochs, batches_per_epoch(training, config.recipe)
    data = fingerprint(training, test)
    state = begin(directory, config, device, world, progress, data=data)
    keeper = Keeper(directory, config, writes=world.first, before=state.seconds)
    progress.begin(epochs * per_epoch)
    while len(state.history) < epochs:
        try:
            train_epoch(state, training, config, keeper, progress, stop)
            refuse_nonfinite_weights(state, config)
        except NonFiniteLoss as error:
            gone = state.rollbacks
            if config.training.on_nonfinite is OnNonfinite.stop or gone >= config.training.rollbacks:
                raise
            progress.say(f"{error}: back to the last checkpoint, {gone + 1} of {config.training.rollbacks} times")
            state = begin(directory, config, device, world, progress, data=data)
            state.rollbacks = gone + 1
            continue
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
        Interrupted: something appeared in `stop`, of any process; a checkpoint was written.
        NonFiniteLoss: see `train_step`.
    """
    epoch, per_epoch, world = len(state.history), batches_per_epoch(training, config.recipe), state.world
    first = state.step - epoch * per_epoch
    begun, skipped = state.step if not epoch else -1, len(training.skipped)
    passes = waited_for(
        micro_batches(
            training, config.recipe, config.data, seed=config.seed, epoch=epoch, start=first, share=world.share
        ),
        state.clock,
    )
    for _ in range(first, per_epoch):
        started, waiting = time.perf_counter(), state.clock.data
        loss = train_step(state, passes, config, per_epoch)
        done = time.perf_counter()
        if config.training.compile and state.step == begun:
            progress.say(f"first step, with what was compiled for it: {done - started:.1f} s")
        state.clock.compute += done - started - (state.clock.data - waiting)
        state.ema.update()
        state.loss_sum += loss
        state.step += 1
        for line in training.skipped[skipped:]:
            progress.say(f"{line}: skipped")
        signals, unread = world.sum(len(stop), len(training.skipped) - skipped)
        state.skipped += int(unread)
        skipped = len(training.skipped)
        progress.step(state.step, loss, state.optimizer.param_groups[0]["lr"])
        if signals or keeper.due():
            keeper.save(state)
        if signals:
            world.say()  # nobody leaves, and has the others ended, before the checkpoint is written
            raise Interrupted(stop[0] if stop else signal.SIGTERM)
        state.clock.other += time.perf_counter() - done


def waited_for(passes: Iterator[Batch], clock: Clock) -> Iterator[Batch]:
    """The same, with the time that they take to come on the clock."""
    while True:
        started = time.perf_counter()
        batch = next(passes, None)
        clock.data += time.perf_counter() - started
        if batch is None:
            return
        yield batch


def train_step(state: State, passes: Iterator[Batch], config: Config, per_epoch: int) -> float:
    """One optimizer step, by this process's share of its forward passes; returns the mean loss over the whole batch.

    Raises:
        NonFiniteLoss: the loss or a gradient of some process is not finite.
    """
    recipe, world = config.recipe, state.world
    each = micro_batches_per_step(recipe)
    own = each // world.size
    rate = learning_rate(recipe, step=state.step, steps_per_epoch=per_epoch)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.model.train()
    state.optimizer.zero_grad()
    state.replica.begin()
    total, trouble = 0.0, ""
    for place in range(own):
        seed = mix(config.seed, state.step * each + world.rank * own + place)  # for stochastic depth
        images, targets = next(passes)
        n = len(images)
        for part in parts(n, state.room.images):
            x, last = images[part], place == own - 1 and part.stop == n
            if len(x) < n:
                enter(part, n, state.model)
            torch.manual_seed(seed)
            with state.replica.exchange(last=last):
                with arithmetic(recipe.precision, x.device):
                    logits = state.replica(x)
                    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                loss = loss_function(logits, targets[part], recipe.smoothing) / (each * n / len(x))
                state.replica.backward(loss)
            total += loss.item()
            if not trouble and not math.isfinite(total):
                torch.manual_seed(seed)
                trouble = f"loss is {total} at step {state.step} of {config.step.name}: "
                with arithmetic(recipe.precision, x.device):
                    trouble += f"first not finite: {first_nonfinite(state.model, x)}"
    gradients = [parameter.grad for parameter in state.model.parameters() if parameter.grad is not None]
    if not trouble and not finite(gradients):
        where = unsound(state.model, gradients=True) or "their norm"
        trouble = f"gradients at step {state.step} of {config.step.name}: first not finite: {where}"
    total, troubles = world.sum(total, bool(trouble))
    if troubles:
        raise NonFiniteLoss(next(text for text in world.say(trouble) if text))
    state.replica.merge(own)
    state.optimizer.step()
    return total


def refuse_nonfinite_weights(state: State, config: Config) -> None:
    """See that the last step of an epoch, after which no loss is computed, left numbers.

    Raises:
        NonFiniteLoss: naming the first parameter that is not finite.
    """
    for name in filter(None, state.world.say(unsound(state.model))):
        raise NonFiniteLoss(f"weights after step {state.step} of {config.step.name}: first not finite: {name}")


def end_epoch(state: State, test: Part, config: Config, device: torch.device, per_epoch: int) -> dict[str, Any]:
    """Evaluate raw and averaged weights; returns the epoch's line of metrics."""
    started = time.perf_counter()
    size = state.room.evaluated or config.training.eval_batch_size
    batches = evaluation_batches(test, config.data, size, share=state.world.share)
    raw, ema = evaluate([state.model, state.ema.module], batches, num_classes=config.data.num_classes)
    for counts in (raw, ema):
        state.world.sum_tensor(counts.by_class)
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

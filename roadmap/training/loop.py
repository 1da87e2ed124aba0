"""The training loop. Its randomness is a function of (seed, epoch, index) and (seed, step), not of its state."""

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from roadmap.config.capacity import refuse_oversized
from roadmap.config.length import micro_batches_per_step, refuse_few_images, refuse_uneven, run_steps, too_short
from roadmap.config.schema import Config, OnNonfinite, RecipeConfig
from roadmap.data import loader
from roadmap.data.records import fingerprint
from roadmap.data.rng import mix
from roadmap.errors import NonFiniteLoss, require
from roadmap.evals.accuracy import TOP, evaluate, stored, together
from roadmap.networks.device import arithmetic, capacity, compiles, peak_memory_mb, set_up, slow_precision
from roadmap.signals import Interrupted
from roadmap.training.checkpoint import Checkpointer
from roadmap.training.diagnosis import finite, first_nonfinite, nonfinite_parameter
from roadmap.training.distributed import World
from roadmap.training.memory import chunks, select
from roadmap.training.progress import Progress
from roadmap.training.recipe import learning_rate, loss_function
from roadmap.training.state import Clock, State


def train(config: Config, directory: Path, *, progress: Progress, stop: list[int], world: World) -> State:
    """Train from the newest checkpoint, or from the start, to the end; `stop` receives signal numbers.

    Raises:
        ConfigError: the run cannot be divided among the processes, or a checkpoint is of other images.
        Interrupted: `stop` of some process has a signal; a checkpoint was written.
        NonFiniteLoss: naming step and module; with training.on_nonfinite=rollback only after training.rollbacks
            returns to the last checkpoint.
    """
    device = set_up(config, world.local_rank)
    refuse_processes(config, world, device)
    refuse_oversized(config, capacity(config))
    if warning := slow_precision(config, device):
        progress.say(warning)
    training, test = (loader.load(config, train=part).to(device) for part in (True, False))
    config = replace(config, training=replace(config.training, compile=compiles(config, len(training), device)))
    refuse_few_images(config, len(training))
    per_epoch = loader.batches_per_epoch(training, config.recipe)
    steps = run_steps(config, per_epoch)
    epochs = math.ceil(steps / per_epoch)
    data = fingerprint(training, test)
    checkpointer = Checkpointer(
        directory=directory, config=config, world=world, progress=progress, data=data, classes=training.classes
    )
    state = checkpointer.begin(device)
    done = state.step - len(state.history) * per_epoch
    allowed = f"a step of epoch {len(state.history) + 1} of {epochs}, with {per_epoch} steps each"
    possible = state.step == steps or (0 <= done <= per_epoch and state.step < steps)
    require(possible, f"{directory}: step", state.step, allowed)
    progress.begin(steps, epochs, checkpointer.before or 0.0)
    for note in filter(None, dict.fromkeys([*training.notes, *test.notes, too_short(config, steps)])):
        progress.say(note)
    while len(state.history) < epochs:
        try:
            train_epoch(state, training, checkpointer, stop=stop)
            for name in filter(None, world.gather(nonfinite_parameter(state.model))):  # no loss depends on them yet
                where = f"weights after step {state.step} of {config.step.name}"
                raise NonFiniteLoss(f"{where}: first not finite: {name}")
        except NonFiniteLoss as error:
            rollbacks = state.rollbacks + 1
            if config.training.on_nonfinite is OnNonfinite.stop or rollbacks > config.training.rollbacks:
                raise
            progress.say(f"{error}: back to the last checkpoint, {rollbacks} of {config.training.rollbacks} times")
            state = checkpointer.begin(device)
            state.rollbacks = rollbacks
            continue
        state.history.append(end_epoch(state, test, config, per_epoch=per_epoch, steps=steps))
        state.loss_sum, state.skipped, state.clock = 0.0, 0, Clock()
        progress.epoch(state.history[-1])
        if len(state.history) % config.training.checkpoint_epochs == 0 or len(state.history) == epochs:
            checkpointer.save(state)
        checkpointer.write_metrics(state)
    checkpointer.write_metrics(state)  # a process may have died between its last checkpoint and its last line
    return state


def train_epoch(state: State, training: loader.Part, checkpointer: Checkpointer, *, stop: list[int]) -> None:
    """The remaining steps of the epoch; raises the errors of `train`."""
    config, progress = checkpointer.config, checkpointer.progress
    epoch, per_epoch = len(state.history), loader.batches_per_epoch(training, config.recipe)
    world, clock, first, skipped = state.world, state.clock, state.step - epoch * per_epoch, len(training.skipped)
    seeds = {"seed": config.seed, "epoch": epoch, "start": first}
    share = world.rank, world.size
    batches = _timed(loader.micro_batches(training, config.recipe, config.data, **seeds, share=share), clock)
    steps = run_steps(config, per_epoch)
    for index in range(first, min(per_epoch, steps - epoch * per_epoch)):
        started, waited = time.perf_counter(), clock.data
        loss = train_step(state, batches, config, steps=steps)
        done = time.perf_counter()
        if config.training.compile and epoch == 0 and index == first:
            progress.say(f"first step, including compilation: {done - started:.1f} s")
        clock.compute += done - started - (clock.data - waited)
        state.ema.update()
        state.loss_sum += loss
        state.step += 1
        for line in training.skipped[skipped:]:
            progress.say(f"{line}: skipped")
        signals, unread = world.sum(len(stop), len(training.skipped) - skipped)
        state.skipped += int(unread)
        skipped = len(training.skipped)
        progress.step(state.step, loss, state.optimizer.param_groups[0]["lr"])
        if signals or checkpointer.due():
            checkpointer.save(state)
        if signals:
            world.gather()  # a process that leaves ends the others: not before the checkpoint is written
            raise Interrupted(stop[0] if stop else signal.SIGTERM)
        clock.other += time.perf_counter() - done


def train_step(state: State, batches: Iterator[loader.Batch], config: Config, *, steps: int) -> float:
    """One of a run's optimizer steps on this process's micro-batches; returns the mean loss of the batch, if finite."""
    recipe, where = config.recipe, f"at step {state.step} of {config.step.name}"
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step=state.step, steps=steps)
    state.model.train()
    state.optimizer.zero_grad()
    state.replica.begin()
    total, error = 0.0, ""
    for chunk in step_chunks(state, batches, config):
        total += backward(state, chunk, recipe)
        if not error and not math.isfinite(total):
            torch.manual_seed(chunk.seed)  # for the same draws of stochastic depth
            with arithmetic(recipe.precision, chunk.images.device):
                name = first_nonfinite(state.model, chunk.images)
            error = f"loss is {total} {where}: first not finite: {name}"
    gradients = [parameter.grad for parameter in state.model.parameters() if parameter.grad is not None]
    if not error and not finite(gradients):
        name = nonfinite_parameter(state.model, gradients=True) or "their norm"
        error = f"gradients {where}: first not finite: {name}"
    total, errors = state.world.sum(total, bool(error))
    if errors:
        raise NonFiniteLoss(next(text for text in state.world.gather(error) if text))
    state.replica.merge(micro_batches_per_step(recipe) // state.world.size)
    state.optimizer.step()
    return total


class Chunk(NamedTuple):
    """Images of one forward and backward pass: a micro-batch, or a part of it that fits into memory."""

    images: Tensor
    targets: Tensor
    seed: int  # of stochastic depth, one per micro-batch
    divisor: float  # of the mean loss, so that the chunks of a step sum to the mean loss of the batch
    last: bool  # of this process in the step


def step_chunks(state: State, batches: Iterator[loader.Batch], config: Config) -> Iterator[Chunk]:
    """The chunks of this process in one step."""
    count, world = micro_batches_per_step(config.recipe), state.world
    own = count // world.size
    for index, (images, targets) in enumerate(islice(batches, own)):
        seed = mix(config.seed, state.step * count + world.rank * own + index)
        n = len(images)
        for part in chunks(n, state.plan.chunk):
            x = images[part]
            if len(x) < n:
                select(part, n, state.model)
            yield Chunk(x, targets[part], seed, count * n / len(x), last=index == own - 1 and part.stop == n)


def backward(state: State, chunk: Chunk, recipe: RecipeConfig) -> float:
    """Forward and backward pass of a chunk; returns its part of the loss."""
    torch.manual_seed(chunk.seed)
    with state.replica.exchange(last=chunk.last):
        with arithmetic(recipe.precision, chunk.images.device):
            logits = state.replica(chunk.images)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = loss_function(logits, chunk.targets, recipe.smoothing) / chunk.divisor
        state.replica.backward(loss)
    return loss.item()


def end_epoch(state: State, test: loader.Part, config: Config, *, per_epoch: int, steps: int) -> dict[str, Any]:
    """Evaluate raw and averaged weights; returns the epoch's line of metrics.jsonl."""
    started, done = time.perf_counter(), state.step - len(state.history) * per_epoch
    size = state.plan.eval_batch_size or config.training.eval_batch_size
    share = state.world.rank, state.world.size
    batches = loader.evaluation_batches(test, config.data, size, share=share)
    positions = torch.cat([torch.arange(0), *loader.evaluated(len(test), size, share)])
    models, accuracies, answers = (state.model, state.ema.module), dict[str, float](), {}
    for prefix, own in zip(("", "ema_"), evaluate(models, batches, num_classes=config.data.num_classes), strict=True):
        found = answers[f"{prefix}top1"] = together(own, positions, len(test), state.world.sum_tensor)
        total, *hits = found.counts.sum(0).tolist()
        for k, right in zip(TOP, hits, strict=True):
            accuracies |= {f"{prefix}top{k}_count": right, f"{prefix}top{k}": 100 * right / total}
        accuracies[f"{prefix}test_loss"] = found.loss / total
    state.answers = stored(answers)
    clock, recipe = state.clock, config.recipe
    clock.evaluation = time.perf_counter() - started
    return {
        "epoch": len(state.history) + 1,
        "step": state.step,
        "loss": state.loss_sum / done,
        "lr": learning_rate(recipe, step=state.step - 1, steps=steps),
        "skipped_images": state.skipped,
        "test_images": total,
        **accuracies,
        "images_per_second": done * recipe.batch_size / clock.training(),
        "data_share": clock.data / clock.training(),
        "overhead_share": (clock.data + clock.other) / clock.training(),
        "training_seconds": clock.training(),
        "evaluation_seconds": clock.evaluation,
        "peak_memory_mb": peak_memory_mb(test.device),
    }


def refuse_processes(config: Config, world: World, device: torch.device) -> None:
    """Refuse a run whose steps these processes cannot share evenly, or whose recipe.sync_bn has nothing to do."""
    on_gpu = device.type == "cuda" or not config.recipe.sync_bn
    require(on_gpu, "recipe.sync_bn", True, "false on a CPU: torch.nn.SyncBatchNorm needs a GPU")
    refuse_uneven(config, world.size)


def _timed(batches: Iterator[loader.Batch], clock: Clock) -> Iterator[loader.Batch]:
    """The same batches; adds the time spent waiting for them to the clock."""
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        clock.data += time.perf_counter() - started
        if batch is None:
            return
        yield batch

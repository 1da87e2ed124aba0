"""A run as a whole: held by one process, resumed where it was, recorded as finished or as failed."""

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roadmap import runs
from roadmap.config.compose import load, to_dict
from roadmap.config.deviations import Deviations, deviations
from roadmap.config.identity import digest
from roadmap.config.schema import Config
from roadmap.data.resize import finished_copy
from roadmap.errors import Locked
from roadmap.files import lock, remove_leftovers
from roadmap.networks.costs import cost
from roadmap.signals import Interrupted, caught
from roadmap.tracking.sidecar import mirrored
from roadmap.training import provenance
from roadmap.training.device import set_up
from roadmap.training.diagnosis import reason
from roadmap.training.distributed import World, joined
from roadmap.training.loop import train
from roadmap.training.progress import Progress
from roadmap.training.state import State


def execute(directory: Path, *, wait: float = 0.0) -> dict[str, Any]:
    """Carry out the run that is frozen in `directory` and return its result; a finished one is only read.

    Several processes carry it out together where torchrun has started them; the first one writes.

    Raises:
        Interrupted: by a signal of `roadmap.signals`, after a checkpoint.
        Locked: another process still works on it after `wait` seconds.
        Exception: whatever made the run fail; it is recorded in the directory first.
    """
    # Signals are caught to the end: what ends a run's other processes must not end the writing of why it failed.
    with joined() as world, held(directory, world, wait=wait) as done, ExitStack() as last, caught() as stop:
        if done:
            return runs.read_result(directory / runs.RESULT)
        origin = provenance.commit()  # of the code that is loaded, whatever happens to the files while it runs
        try:
            config = load(directory / runs.CONFIG)
            listed = deviations(config) | resized(config)
            if world.first:
                last.enter_context(mirrored(directory, config.tracking))
            with Progress(config, directory, speaks=world.first) as progress:
                state = train(config, directory, progress, stop, world)
                result = make_result(config, state, origin, listed)
                if world.first:
                    result = runs.write_result(directory / runs.RESULT, result)
        except Interrupted:
            raise
        except Exception as error:
            if not (directory / runs.FAILURE).exists():  # other processes fail because of the first that did
                record = {"error": reason(error), "traceback": traceback.format_exc()}
                with suppress(OSError):  # what made the run fail may keep this from being written; it is what to tell
                    runs.write_json(directory / runs.FAILURE, record)
            raise
        if world.first:
            (directory / runs.PREVIOUS_CHECKPOINT).unlink(missing_ok=True)
        return result


@contextmanager
def held(directory: Path, world: World, *, wait: float) -> Iterator[bool]:
    """The directory, held by the first process for all and cleared of an earlier try's failure; yields if it is done.

    Raises:
        Locked: another process still works on it after `wait` seconds.
    """
    with ExitStack() as stack:
        refused: Exception | None = None
        done = False
        if world.first:
            try:
                stack.enter_context(lock(directory, wait=wait))
                remove_leftovers(directory)
                done = runs.finished(directory)
                for stale in (runs.FAILURE, *(() if done else (runs.RESULT,))):
                    (directory / stale).unlink(missing_ok=True)
            except (Locked, OSError) as error:
                refused = error
        verdict = world.say("refused" if refused else "done" if done else "go")[0]
        if refused:
            raise refused
        if verdict == "refused":
            raise Locked(f"{directory}: refused to the first of the processes")
        yield verdict == "done"


def resized(config: Config) -> Deviations:
    """Whether a run reads a resized copy (scripts/prepare.py), as what the paper does not.

    Raises:
        DataError: the copy is not finished.
    """
    copy = finished_copy(Path(config.data.root).expanduser())
    return {"data.resized": (str(copy), "originals")} if copy else {}


def make_result(config: Config, state: State, origin: tuple[str | None, bool], listed: Deviations) -> dict[str, Any]:
    """What is kept of a run: its last epoch's counts, what it cost, and where it comes from."""
    plain, last = to_dict(config), state.history[-1]
    step, data = config.step, config.data
    size = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size)
    commit, dirty = origin
    training = sum(line["training_seconds"] for line in state.history)
    images = config.recipe.batch_size * state.step
    accuracies = [f"{weights}top{k}" for weights in ("", "ema_") for k in (1, 5)]
    return {
        "study": config.study.name,
        "regime": config.regime.name,
        "step": step.name,
        "parent": step.parent,
        "title": step.title,
        "group": step.group,
        "section": step.section,
        "seed": config.seed,
        "metrics": {**{key: last[key] for key in accuracies}, "train_loss": last["loss"]},
        "counts": {key: last[f"{key}_count"] for key in accuracies},
        "test_images": last["test_images"],
        "rollbacks": state.rollbacks,
        "skipped_images": sum(line["skipped_images"] for line in state.history),
        "params": size.params,
        "macs": size.macs,
        "epochs": config.recipe.epochs,
        "wall_seconds": state.seconds,
        "images_per_second": images / training,
        "overhead_share": sum(line["overhead_share"] * line["training_seconds"] for line in state.history) / training,
        "deviations": {key: list(pair) for key, pair in listed.items()},
        **({"data": state.data} if state.data else {}),
        "config_hash": digest(plain),
        "config": plain,
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(set_up(config)) | {"processes": state.world.size},
        "finished_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }

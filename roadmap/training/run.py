"""A run as a whole: held by one process, resumed where it was, recorded as finished or as failed."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roadmap import runs
from roadmap.config.compose import load
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Config
from roadmap.config.steps import Deviations
from roadmap.data.imagenet import wnids
from roadmap.data.resize import finished_copy
from roadmap.errors import Locked, shortage
from roadmap.files import lock, remove_leftovers
from roadmap.networks.costs import cost
from roadmap.signals import Interrupted, caught
from roadmap.tracking.sidecar import mirrored
from roadmap.training import provenance
from roadmap.training.distributed import World, joined
from roadmap.training.loop import train
from roadmap.training.progress import Progress
from roadmap.training.state import State


def execute(directory: Path, *, wait: float = 0.0) -> dict[str, Any]:
    """Carry out the run that is frozen in `directory` and return its result; a finished run is only read.

    Under torchrun, several processes carry it out together, and the first one writes.

    Raises:
        Interrupted: by a signal of `roadmap.signals`, after a checkpoint.
        Locked: another process still works on it after `wait` seconds.
        Exception: any other error, after it was recorded in the directory.
    """
    # Signals are caught to the end: torchrun's SIGTERM must not interrupt the record of a failure.
    with joined() as world, held(directory, world, wait=wait) as done, ExitStack() as last, caught() as stop:
        if done:
            return runs.read_result(directory / runs.RESULT)
        origin = provenance.commit()  # of the loaded code: files may change while the run works
        try:
            config = load(directory / runs.CONFIG)
            deviations = deviations_of(directory, config)
            if world.first:
                last.enter_context(mirrored(directory, config.tracking))
            with Progress(config, directory, speaks=world.first) as progress:
                state = train(config, directory, progress=progress, stop=stop, world=world)
                result = make_result(config, state, origin=origin, deviations=deviations)
                if world.first:
                    result = runs.write_result(directory / runs.RESULT, result)
        except Interrupted:
            raise
        except Exception as error:
            if not (directory / runs.FAILURE).exists():  # other processes fail because the first one did
                record = {"error": reason(error), "traceback": traceback.format_exc()}
                with suppress(OSError):  # the original error may also prevent this write; it is the one to re-raise
                    runs.write_json(directory / runs.FAILURE, record)
            raise
        if world.first:
            (directory / runs.PREVIOUS_CHECKPOINT).unlink(missing_ok=True)
        return result


@contextmanager
def held(directory: Path, world: World, *, wait: float) -> Iterator[bool]:
    """Hold the directory for all processes and clear it of an earlier failure; yields whether the run is finished."""
    with ExitStack() as stack:
        answer = "refused"
        try:
            if world.first:
                stack.enter_context(lock(directory, wait=wait, make=False))
                remove_leftovers(directory)
                load(directory / runs.CONFIG)  # a result that no configuration can be compared with is kept
                done = runs.finished(directory)
                for stale in (runs.FAILURE, *(() if done else (runs.RESULT,))):
                    (directory / stale).unlink(missing_ok=True)
                answer = "done" if done else "go"
        finally:
            answer = world.gather(answer)[0]
        if answer == "refused":
            raise Locked(f"{directory}: the first process was refused")
        yield answer == "done"


def reason(error: Exception) -> str:
    """An error in the words of failure.json and of the sweep's report."""
    return shortage(error) or f"{type(error).__name__}: {error}"


def deviations_of(directory: Path, config: Config) -> Deviations | None:
    """The run's deviations from the paper, a resized copy of the images among them; None if they are unknown."""
    copy = finished_copy(Path(config.data.root).expanduser())
    frozen = runs.read_deviations(directory, config)
    if frozen is None:
        print(f"{directory}: deviations from the paper unknown: no {runs.DEVIATIONS}, no conf/", file=sys.stderr)
        return None
    return frozen | ({"data.resized": (str(copy), "originals")} if copy else {})


def make_result(
    config: Config, state: State, *, origin: tuple[str | None, bool], deviations: Deviations | None
) -> dict[str, Any]:
    """The result of a finished run. Anything added to its metrics appears in the tables and the report."""
    plain, data, history = to_dict(config), config.data, state.history
    last, training = history[-1], sum(line["training_seconds"] for line in history)
    overhead = sum(line["overhead_share"] * line["training_seconds"] for line in history)
    counts = {key.removesuffix("_count"): last[key] for key in last if key.endswith("_count")}
    losses = {name: last[name] for name in ("test_loss", "ema_test_loss") if name in last}  # older checkpoints: neither
    size = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size)
    return {
        "study": config.study.name,
        "regime": config.regime.name,
        "step": config.step.name,
        **{key: getattr(config.step, key) for key in ("parent", "title", "group", "section")},
        "seed": config.seed,
        "metrics": {name: last[name] for name in counts} | {"train_loss": last["loss"]} | losses,
        "counts": counts,
        "test_images": last["test_images"],
        "params": size.params,
        "macs": size.macs,
        "stages": [stage._asdict() for stage in size.stages],
        "epochs": len(history),
        "wall_seconds": state.seconds,
        "images_per_second": config.recipe.batch_size * state.step / training,
        "overhead_share": overhead / training,
        "rollbacks": state.rollbacks,
        "skipped_images": sum(line["skipped_images"] for line in history),
        **({} if deviations is None else {"deviations": {key: list(pair) for key, pair in deviations.items()}}),
        **({"answers": state.answers} if state.answers else {}),
        **({"data": state.data} if state.data else {}),
        **({"classes": state.classes} if state.classes and [*state.classes] != wnids() else {}),
        "config_hash": digest(plain),
        "config": plain,
        "commit": origin[0],
        "dirty": origin[1],
        "versions": state.versions,
        "hardware": provenance.hardware(state.device) | {"processes": state.world.size},
        "finished_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }

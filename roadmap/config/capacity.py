"""The memory of this machine, and the least that a run needs: what cannot fit is refused before anything is made.

Imports no torch. The estimate counts what is certain: weights and the optimizer's state, one batch, the inputs of the
blocks, which a backward pass needs even with gradient checkpointing, and data sets held in memory.
"""

import os
from contextlib import suppress
from pathlib import Path

from roadmap.config.length import images_used
from roadmap.config.schema import Config, Opt, Precision
from roadmap.data.datasets import dataset
from roadmap.errors import ConfigError
from roadmap.networks.ops import OPS, placed

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PROCESS = 150e6  # bytes of a process that has imported torch and shares its code with others


def machine_memory() -> float:
    """Bytes of memory of this machine, or of the container that limits this process."""
    found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in LIMITS:
        with suppress(OSError, ValueError):  # not there, or `max`
            found = min(found, float(Path(path).read_text()))
    return found


def least_memory(config: Config) -> dict[str, float]:
    """Bytes that a run certainly needs, by the options that they follow from."""
    data, recipe, training, known = config.data, config.recipe, config.training, dataset(config.data.name)
    weights, inputs = 0.0, 0.0
    for op in placed(config.model, img_size=data.img_size, in_chans=data.in_chans, num_classes=data.num_classes):
        if OPS[op.name].kind == "conv":
            taps = config.model.kernel_size**2 if op.name == "conv" else 1
            weights += op.copies * taps * op.at.channels * OPS[op.name].channels(op.at)
        if op.name == "add":
            inputs += op.copies * op.at.stream * op.size**2 * (2 if recipe.precision is Precision.bfloat16 else 4)
    pixels = 4.0 * data.in_chans * data.img_size**2
    micro_batch, images = min(recipe.bn_batch_size, recipe.batch_size), 0
    if known.in_memory:
        images = sum(images_used(data, *known.images))
    chunk, evaluated = (micro_batch, training.eval_batch_size) if training.memory_gb is None else (1, 1)
    evaluated = min(evaluated, data.max_test or known.images[1] or evaluated)
    return {
        "weights, gradients and optimizer": weights * 4 * (4 if recipe.opt is Opt.sgd else 5),
        f"micro-batches of {micro_batch} images, {data.img_size} pixels": micro_batch * pixels + chunk * inputs,
        f"training.eval_batch_size={training.eval_batch_size}": evaluated * pixels,
        f"{images:,} images held in memory": images * pixels / 4,
    }


def refuse_oversized(config: Config, available: float, *, processes: int = 1) -> None:
    """Refuse runs, by a ConfigError with the estimate, that cannot fit into so many bytes of memory, at a time."""
    parts = least_memory(config)
    network, batch, evaluation, images = parts.values()
    needed = processes * (network + max(batch, evaluation) + images + PROCESS)
    if needed <= available:
        return
    listed = ", ".join(f"{name}: {_gb(size)}" for name, size in parts.items() if size > needed / processes / 100)
    times = f"{processes} runs at a time (jobs={processes}) need" if processes > 1 else "needs"
    raise ConfigError(
        f"{config.step.name} seed {config.seed}: {times} at least {_gb(needed)} of memory, here are {_gb(available)} "
        f"({listed or f'each process: {_gb(PROCESS)}'})"
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2g} GB" if size < 1e11 else f"{size / 1e9:,.0f} GB"

"""The corruption errors of ImageNet-C (Hendrycks and Dietterich, arXiv 1903.12261)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from torch import nn

from roadmap.config.schema import Config
from roadmap.data.loader import evaluation_batches, load
from roadmap.data.test_sets import EXTRA, SEVERITIES, complete, corruption_error, mean_corruption_error, missing
from roadmap.evals.accuracy import Metric, evaluate, watch


def corruption_errors(
    network: nn.Module, config: Config, device: torch.device, *, console: Console
) -> Iterator[Metric]:
    """The error of each complete corruption in data.root, relative to AlexNet's, and their mean if none is missing.

    Raises:
        DataError: data.root is not ImageNet-C, a folder has other classes, or a file cannot be read.
    """
    root = Path(config.data.root).expanduser()
    absent = missing(root)
    names = complete(absent)
    if extra := [name for name in EXTRA if (root / name).is_dir()]:
        console.print(f"not part of the mean, and left out: {' '.join(extra)}")
    errors: dict[str, list[float]] = {name: [] for name in names}
    wrong = images = 0
    folders = list(product(names, SEVERITIES))
    for name, severity in watch(folders, len(folders), console, unit="folders"):
        folder = replace(config, data=replace(config.data, root=str(root / name / str(severity))))
        batches = evaluation_batches(load(folder, train=False).to(device), config.data, config.training.eval_batch_size)
        (counts,) = evaluate([network], batches, num_classes=config.data.num_classes)
        errors[name].append(1 - counts.top1 / counts.total)
        wrong, images = wrong + counts.total - counts.top1, images + counts.total
        if severity == SEVERITIES[-1]:
            error, relative = 100 * fmean(errors[name]), 100 * corruption_error(name, errors[name])
            text = f"{name}: {wrong:,} of {images:,} wrong, {error:.3f} %, CE {relative:.3f} %"
            yield Metric(f"ce_{name}", relative, text)
            wrong = images = 0
    if absent:
        console.print(f"no mean corruption error, because folders are missing: {' '.join(absent)}")
    else:
        mean = 100 * mean_corruption_error(errors)
        yield Metric("mce", mean, f"mCE: {mean:.3f} %, the mean of {len(errors)} errors relative to AlexNet's")

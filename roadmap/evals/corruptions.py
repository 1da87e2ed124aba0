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
from roadmap.data.test_sets import EXTRA, SEVERITIES, alexnet_errors, corruptions
from roadmap.evals.accuracy import Metric, evaluate, watch


def corruption_errors(
    network: nn.Module, config: Config, device: torch.device, *, console: Console
) -> Iterator[Metric]:
    """The error of each complete corruption in data.root, relative to AlexNet's, and their mean if none is missing.

    CE is the sum of the errors over the five severities, divided by that of AlexNet.
    """
    root = Path(config.data.root).expanduser()
    names, absent = corruptions(root)
    if extra := [name for name in EXTRA if (root / name).is_dir()]:
        console.print(f"not part of the mean, and left out: {' '.join(extra)}")
    relative, errors = list[float](), list[float]()  # of the corruptions so far; of the severities of one
    wrong = images = 0
    folders = list(product(names, SEVERITIES))
    for name, severity in watch(folders, len(folders), console, unit="folders"):
        folder = replace(config, data=replace(config.data, root=str(root / name / str(severity))))
        batches = evaluation_batches(load(folder, train=False).to(device), config.data, config.training.eval_batch_size)
        (found,) = evaluate([network], batches, num_classes=config.data.num_classes)
        total, top1, _ = found.counts.sum(0).tolist()
        errors.append(1 - top1 / total)
        wrong, images = wrong + total - top1, images + total
        if severity == SEVERITIES[-1]:
            relative.append(fmean(errors) / alexnet_errors()[name])
            error, ce = 100 * fmean(errors), 100 * relative[-1]
            yield Metric(f"ce_{name}", ce, f"{name}: {wrong:,} of {images:,} wrong, {error:.3f} %, CE {ce:.3f} %")
            wrong, images, errors = 0, 0, []
    if absent:
        console.print(f"no mean corruption error, because folders are missing: {' '.join(absent)}")
    else:
        mean = 100 * fmean(relative)
        yield Metric("mce", mean, f"mCE: {mean:.3f} %, the mean of {len(relative)} errors relative to AlexNet's")

"""A network on ImageNet-C, folder by folder."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from roadmap.config.schema import Config
from roadmap.data.loader import evaluation_batches, load
from roadmap.evals.accuracy import Counts, evaluate


def count_in(folder: str, network: nn.Module, config: Config, device: torch.device) -> Counts:
    """Count on the images of one folder corruption/severity below data.root.

    Raises:
        DataError: it does not hold ImageNet's 1000 classes, or a file cannot be read.
    """
    root = Path(config.data.root).expanduser() / folder
    part = replace(config, data=replace(config.data, root=str(root)))
    images = load(part, train=False).to(device)
    batches = evaluation_batches(images, part.data, part.training.eval_batch_size)
    (counts,) = evaluate([network], batches, num_classes=part.data.num_classes)
    return counts

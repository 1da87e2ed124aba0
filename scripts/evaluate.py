"""Count how many test images a file of weights names right.

    python scripts/evaluate.py weights=runs/fashion_mnist/gelu/seed-0/checkpoint.pt
    python scripts/evaluate.py weights=convnext_tiny-983f1562.pth study=imagenet data.root=/path/to/imagenet
    python scripts/evaluate.py weights=convnext_tiny-983f1562.pth data=imagenet_r data.root=/path/to/imagenet-r

A run of ours is evaluated on its own data; data.root and training.* may be others, and for a run on ImageNet data may
be one of its test sets: imagenet_v2, imagenet_a, imagenet_r, imagenet_sketch, imagenet_c (to the mean corruption
error). Files of torchvision, timm and the paper's authors are recognised by what is in them. Images are resized
bilinearly where layers are named as in torchvision, else bicubically; torchvision's own files are known by their hash,
resized as published and set beside the published numbers.
Exit code: 0 done, 1 done, but some of ImageNet-C is missing and so is the mean, 2 refused.
"""

import argparse
import csv
import io
import math
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from roadmap.cli import command
from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS, dataset
from roadmap.errors import require
from roadmap.files import write_atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from roadmap.data.loader import Part
    from roadmap.evals.weights import Loaded

    Batch = tuple[Tensor, Tensor]

SECONDS = 60.0
"""Between two lines about how far it is, where there is no terminal."""


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="key=value", help="weights=FILE, and options as for train.py")
    parser.add_argument("--ema", action="store_true", help="of a run of ours, the averaged weights")
    parser.add_argument("--per-class", type=Path, metavar="FILE", help="write a CSV with the counts of each class")
    arguments = parser.parse_args()
    given = [word.removeprefix("weights=") for word in arguments.words if word.startswith("weights=")]
    words = [word for word in arguments.words if not word.startswith("weights=")]
    require(len(given) == 1, "weights", " ".join(given), "one file: weights=FILE")

    from roadmap.data.loader import load
    from roadmap.evals import evaluated, weights
    from roadmap.training.device import set_up

    path = Path(given[0]).expanduser()
    content = weights.read(path)
    if "config_hash" in content:
        loaded, config = weights.from_checkpoint(path, content, ema=arguments.ema)
        config = evaluated.elsewhere(config, words)
    else:
        require(not arguments.ema, "--ema", path, "for a checkpoint of ours")
        loaded = weights.from_file(path, content)
        config = evaluated.with_options(loaded.options, words)
    refuse(config, loaded, arguments.per_class)
    device, console = set_up(config), Console(highlight=False, soft_wrap=True)
    images = None if config.data.name == "imagenet_c" else load(config, train=False)
    resized = f"recipe.interpolation={config.recipe.interpolation} data.crop_pct={config.data.crop_pct:.4g}"
    console.print(f"{path}: {loaded.words}, {resized}")
    network = loaded.network.to(device)
    if images is None:
        return count_corrupted(network, config, device, console)
    count(network, images.to(device), config, console, table=arguments.per_class)
    if (known := weights.published(path)) and config.data.name not in TEST_SETS:
        accuracy = known.meta["_metrics"]["ImageNet-1K"]
        console.print(f"published by torchvision for {known}: {accuracy['acc@1']} % and {accuracy['acc@5']} %")
    return 0


def refuse(config: Config, loaded: "Loaded", table: Path | None) -> None:
    """See that the images are there and are what the weights know.

    Raises:
        ConfigError: they are not, or there is no such table of them.
    """
    name, root = config.data.name, Path(config.data.root).expanduser()
    folder = dataset(name).class_folders
    require(root.is_dir() or not folder, "data.root", config.data.root, f"a folder that is there, with {name}")
    for key in ("num_classes", "in_chans"):
        here, known = getattr(config.data, key), getattr(loaded, key)
        hint = "; for ImageNet: study=imagenet" if known == 1000 else ""
        require(here == known, f"data.{key}", here, f"{known}, as the weights have it{hint}")
    one_set = name != "imagenet_c" or not table
    require(one_set, "--per-class", table, "for one set of images, not imagenet_c")


def count(network: "nn.Module", images: "Part", config: Config, console: Console, *, table: Path | None) -> None:
    """Print the counts on one set of images, and write those of each class into a table if there is to be one."""
    from roadmap.data.loader import evaluation_batches
    from roadmap.data.resize import finished_copy
    from roadmap.data.test_sets import folders
    from roadmap.evals.accuracy import Among, evaluate

    if (copy := finished_copy(Path(config.data.root).expanduser())) and "val" in copy.parts:
        console.print(f"not the originals, but a resized copy ({copy})")
    classes = list(range(config.data.num_classes))
    if config.data.name in TEST_SETS:
        known = sorted(folders(config.data.name).values())
        if len(known) < len(classes):
            console.print(f"{config.data.name}: chosen among its {len(known)} classes")
            network = Among(network, known).to(next(network.parameters()).device)
        classes = known
    size = config.training.eval_batch_size
    batches = evaluation_batches(images, config.data, size)
    (counts,) = evaluate(
        [network], watched(batches, math.ceil(len(images) / size), console), num_classes=config.data.num_classes
    )
    for name, right in (("top-1", counts.top1), ("top-5", counts.top5)):
        console.print(f"{name}: {right:,} of {counts.total:,} images, {100 * right / counts.total:.3f} %")
    if table:
        text = io.StringIO()
        csv.writer(text).writerow(("class", "images", "top1", "top5"))
        csv.writer(text).writerows((number, *counts.by_class[number].tolist()) for number in classes)
        write_atomic(table, text.getvalue())


def watched(batches: "Iterable[Batch]", total: int, console: Console) -> "Iterator[Batch]":
    """Batches, with a bar on a terminal and elsewhere a line a minute."""
    said = time.monotonic()
    bar = track(batches, total=total, console=console, disable=not console.is_terminal)
    for number, batch in enumerate(bar, 1):
        yield batch
        if not console.is_terminal and time.monotonic() - said > SECONDS:
            said = time.monotonic()
            console.print(f"{number:,} of {total:,} batches")


def count_corrupted(network: "nn.Module", config: Config, device: "torch.device", console: Console) -> int:
    """Print the error on each corruption of ImageNet-C and, if all are there, their mean; return the exit code."""
    from roadmap.data import test_sets as corruptions
    from roadmap.evals.corruptions_c import count_in

    root = Path(config.data.root).expanduser()
    absent = corruptions.missing(root)
    names = corruptions.complete(absent)
    if extra := [name for name in corruptions.EXTRA if (root / name).is_dir()]:
        console.print(f"not part of the mean, and left out: {' '.join(extra)}")
    folders = list(product(names, corruptions.SEVERITIES))
    errors: dict[str, list[float]] = {name: [] for name in names}
    wrong = images = 0
    for name, severity in track(folders, console=console, disable=not console.is_terminal):
        counts = count_in(f"{name}/{severity}", network, config, device)
        errors[name].append(1 - counts.top1 / counts.total)
        wrong, images = wrong + counts.total - counts.top1, images + counts.total
        if severity == corruptions.SEVERITIES[-1]:
            error, relative = fmean(errors[name]), corruptions.corruption_error(name, errors[name])
            console.print(f"{name}: {wrong:,} of {images:,} wrong, {100 * error:.3f} %, CE {100 * relative:.3f} %")
            wrong = images = 0
    if absent:
        console.print(f"no mean corruption error, for something is missing: {' '.join(absent)}")
        return 1
    mean = corruptions.mean_corruption_error(errors)
    console.print(f"mCE: {100 * mean:.3f} %, the mean of {len(errors)} errors relative to AlexNet's")
    return 0


if __name__ == "__main__":
    command(main)

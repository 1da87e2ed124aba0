"""Measure how fast one core makes training images out of photographs, and where the time goes.

    python scripts/benchmark_data.py study=imagenet +step=training_recipe data.root=/path/to/imagenet
    python scripts/benchmark_data.py study=photos +step=training_recipe data.root=photos data.num_classes=4 --images 200

Our path and timm's own (create_transform to normalized tensors, random erasing included, over an ImageFolder) alternate
in one process on the same files; the ratio is the median over the rounds. The recipe is the same, but for the deviation
of RandAugment's magnitude, with which timm's own path raises an error on Pillow 13. Then, apart: decoding, crop and
flip, the same with RandAugment, and the batch's normalization.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import torch
from rich.console import Console
from timm.data import create_transform
from torchvision.datasets import ImageFolder

from roadmap.checks import require
from roadmap.command import command
from roadmap.config import compose
from roadmap.data.augment import epoch_passes
from roadmap.data.fetch import FOLDERS
from roadmap.data.load import load
from roadmap.data.photos import Photos
from roadmap.data.pil import train_pipeline
from roadmap.data.records import opened
from roadmap.data.transforms import normalize
from roadmap.schema import Config


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    parser.add_argument("--images", type=int, default=256, help="images a round, in batches of 32")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two paths alternate")
    arguments = parser.parse_args()
    words = ["recipe.batch_size=32", "recipe.bn_batch_size=32", "recipe.batch_rule=keep", "recipe.mixup_prob=0"]
    words += ["training.workers=0", f"data.max_train={max(arguments.images, 32)}"]
    config = compose([*arguments.words, *words])
    require(config.data.name.value in FOLDERS, "data", config.data.name.value, " or ".join(FOLDERS))
    torch.set_num_threads(1)
    console = Console(highlight=False)
    photos = load(config, train=True)
    assert isinstance(photos, Photos)
    paths = {"ours": ours(photos, config, arguments.images), "timm": timms(photos, config, arguments.images)}
    seconds = [{name: timed(path) for name, path in paths.items()} for _ in range(arguments.rounds + 1)][1:]
    ratios = [each["timm"] / each["ours"] for each in seconds]
    for name in paths:
        rate = arguments.images / statistics.median(each[name] for each in seconds)
        console.print(f"{name}: {rate:,.0f} images/s")
    console.print(f"ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    for stage, each in stages(photos, config).items():
        console.print(f"{stage}: {1e3 * each:.2f} ms an image")
    return 0


def ours(photos: Photos, config: Config, images: int) -> Callable[[], None]:
    """Our path: batches, normalized and erased."""

    def go() -> None:
        left, epoch = images, 0
        while left > 0:
            batches = epoch_passes(photos, config.recipe, config.data, seed=0, epoch=epoch)
            for x, _ in islice(batches, -(-left // config.recipe.batch_size)):
                left -= len(x)
            epoch += 1

    return go


def timms(photos: Photos, config: Config, images: int) -> Callable[[], None]:
    """timm's path: one image after another, normalized and erased, stacked to batches."""
    recipe, data = config.recipe, config.data
    transform = create_transform(
        (data.in_chans, data.img_size, data.img_size),
        is_training=True,
        scale=(recipe.scale[0], recipe.scale[1]),
        ratio=(recipe.ratio[0], recipe.ratio[1]),
        hflip=recipe.hflip,
        color_jitter=None,  # type: ignore[arg-type]
        auto_augment=None if recipe.aa == "none" else recipe.aa.replace("-mstd0.5", ""),
        interpolation=recipe.interpolation,
        mean=tuple(data.mean),
        std=tuple(data.std),
        re_prob=recipe.reprob,
        re_mode="pixel",
    )
    folder = ImageFolder(f"{data.root}/train", transform)
    folder.samples = [folder.samples[place] for place in photos.chosen.tolist()]

    def go() -> None:
        order = torch.randint(len(folder), (images,)).tolist()
        for start in range(0, images, recipe.batch_size):
            torch.stack([folder[i][0] for i in order[start : start + recipe.batch_size]])

    return go


def stages(photos: Photos, config: Config) -> dict[str, float]:
    """Seconds an image of each stage."""
    recipe, data = config.recipe, config.data
    samples = photos.chosen.tolist()
    started = time.perf_counter()
    decoded = [opened(photos.records.read(place)).convert("RGB") for place in samples]
    found = {"decode": (time.perf_counter() - started) / len(samples)}
    for stage, changed in (("crop and flip", replace(recipe, aa="none")), ("with RandAugment", recipe)):
        pipeline = train_pipeline(changed, data)
        started = time.perf_counter()
        made = [torch.as_tensor(pipeline(image)) for image in decoded]
        found[stage] = (time.perf_counter() - started) / len(samples)
    x = torch.stack(made)
    started = time.perf_counter()
    normalize(x, data)
    found["normalize"] = (time.perf_counter() - started) / len(samples)
    return found


def timed(path: Callable[[], None]) -> float:
    """Seconds that a path takes."""
    started = time.perf_counter()
    path()
    return time.perf_counter() - started


if __name__ == "__main__":
    command(main)

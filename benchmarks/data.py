"""Measure how fast one core makes training images, and where the time goes.

    python benchmarks/data.py                          the default study's images, held in memory
    python benchmarks/data.py study=imagenet +step=training_recipe data.root=/path/to/imagenet
    python benchmarks/data.py study=photos +step=training_recipe data.root=photos data.num_classes=4 --images 200

Our path and what is usual alternate in one process on the same images; the ratio is the median over the rounds. Usual
for files is timm's create_transform to normalized tensors, random erasing included, over an ImageFolder; for images in
memory torchvision's dataset and transforms with torch's DataLoader. The recipe is the same, at full strength, without
mixup and, for files, without the deviation of RandAugment's magnitude, with which timm's own path raises an error on
Pillow 13. Then, apart: of files decoding, crop and flip, the same with RandAugment, and the batch's normalization; of
images in memory the share of a training step.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import torch
import torchvision
from rich.console import Console
from timm.data import create_transform
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measure import our_step
from roadmap.cli import command
from roadmap.config.compose import compose
from roadmap.config.schema import Config
from roadmap.data.batch_augment import normalize
from roadmap.data.datasets import DATASETS, dataset
from roadmap.data.image_files import ImageFiles
from roadmap.data.image_transforms import train_pipeline
from roadmap.data.loader import Part, load, micro_batches
from roadmap.data.records import open_image
from roadmap.errors import require
from roadmap.training.device import set_up


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    parser.add_argument("--images", type=int, help="images a round, whole batches; else 256, or 12,800 in memory")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two paths alternate")
    arguments = parser.parse_args()
    given = compose(arguments.words).data.name
    in_memory = dataset(given).in_memory
    known = [name for name, each in DATASETS.items() if each.in_memory or each.reader == "folders"]
    require(given in known, "data", given, " or ".join(known))
    images, batch = (arguments.images or 12_800, 128) if in_memory else (arguments.images or 256, 32)
    images = -(-images // batch) * batch  # whole batches, or the paths would not make as many
    words = [f"recipe.batch_size={batch}", f"recipe.bn_batch_size={batch}", "recipe.batch_rule=keep"]
    words += [
        "recipe.mixup_prob=0",
        "budget.strength=1",
        "training.workers=0",
        "training.threads=1",
        "training.device=cpu",
    ]
    words += [f"data.max_train={images}"]
    config = compose([*arguments.words, *words])
    device = set_up(config)
    console = Console(highlight=False)
    part = load(config, train=True)
    usual, theirs = ("timm", timms) if isinstance(part, ImageFiles) else ("torchvision", torchvisions)
    paths = {"ours": ours(part, config, images), usual: theirs(part, config, images)}
    seconds = [{name: timed(path) for name, path in paths.items()} for _ in range(arguments.rounds + 1)][1:]
    ratios = [each[usual] / each["ours"] for each in seconds]
    for name in paths:
        rate = images / statistics.median(each[name] for each in seconds)
        console.print(f"{name}: {rate:,.0f} images/s")
    console.print(f"ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    if isinstance(part, ImageFiles):
        for stage, each in stages(part, config).items():
            console.print(f"{stage}: {1e3 * each:.2f} ms an image")
    else:
        made = statistics.median(each["ours"] for each in seconds) / images
        step = our_step(config, device)
        trained = statistics.median([timed(step) for _ in range(33)][2:]) / batch
        console.print(f"of a step of {config.step.name}, {config.regime.name} regime: {made / trained:.1%}")
    return 0


def ours(part: Part, config: Config, images: int) -> Callable[[], object]:
    """Our path: batches, normalized and erased."""

    def go() -> None:
        left, epoch = images, 0
        while left > 0:
            batches = micro_batches(part, config.recipe, config.data, seed=0, epoch=epoch)
            for x, _ in islice(batches, left // config.recipe.batch_size):
                left -= len(x)
            epoch += 1

    return go


def timms(part: Part, config: Config, images: int) -> Callable[[], object]:
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
    assert isinstance(part, ImageFiles)
    folder.samples = [folder.samples[place] for place in part.chosen.tolist()]

    def go() -> None:
        order = torch.randint(len(folder), (images,)).tolist()
        for start in range(0, images, recipe.batch_size):
            torch.stack([folder[i][0] for i in order[start : start + recipe.batch_size]])

    return go


def torchvisions(_part: Part, config: Config, images: int) -> Callable[[], object]:
    """The usual path: a dataset of PIL images, a transform an image, torch's loader."""
    recipe, data = config.recipe, config.data
    kind = getattr(torchvision.datasets, dataset(data.name).torchvision)
    own = transforms.Compose(
        [
            transforms.Pad((data.img_size - kind(data.root)[0][0].width) // 2),
            transforms.RandomResizedCrop(
                data.img_size, (recipe.scale[0], recipe.scale[1]), (recipe.ratio[0], recipe.ratio[1])
            ),
            transforms.RandomHorizontalFlip(recipe.hflip),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.std),
            transforms.RandomErasing(recipe.reprob, value="random"),
        ]
    )
    some = Subset(kind(data.root, train=True, transform=own), range(images))
    loader = DataLoader(some, recipe.batch_size, shuffle=True, drop_last=True)
    return lambda: [None for _ in loader]


def stages(photos: ImageFiles, config: Config) -> dict[str, float]:
    """Seconds an image of each stage."""
    recipe, data = config.recipe, config.data
    samples = photos.chosen.tolist()
    started = time.perf_counter()
    decoded = [open_image(photos.records.read(place)).convert("RGB") for place in samples]
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


def timed(path: Callable[[], object]) -> float:
    """Seconds that a path takes."""
    started = time.perf_counter()
    path()
    return time.perf_counter() - started


if __name__ == "__main__":
    command(main)

"""Measure how fast one core makes training images."""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
import torchvision
from timm.data import create_transform
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measure import Step, alternate, our_step, timed
from roadmap import cli
from roadmap.config.compose import compose
from roadmap.config.schema import Config
from roadmap.data.batch_augment import normalize
from roadmap.data.datasets import DATASETS, dataset
from roadmap.data.decoding import as_rgb, open_image
from roadmap.data.image_files import ImageFiles
from roadmap.data.image_transforms import train_pipeline
from roadmap.data.loader import Part, load, micro_batches
from roadmap.errors import require
from roadmap.networks.device import set_up

DEFAULTS = {"images": "", "rounds": "5"}
FIXED = ["recipe.batch_rule=keep", "recipe.mixup_prob=0", "budget.strength=1"]
FIXED += ["training.workers=0", "training.threads=1", "training.device=cpu"]


def main(words: list[str]) -> int:
    """Measure how fast one core makes training images, against timm (image files) or torchvision (in memory).

        python benchmarks/data.py                          the default study's images, held in memory
        python benchmarks/data.py study=imagenet +step=training_recipe data.root=/path/to/imagenet
        python benchmarks/data.py study=photos +step=training_recipe data.root=photos data.num_classes=4 images=200

    images= is the number of images per round, rounded up to whole batches; rounds= how often the methods alternate, in
    one process on the same images. The ratio is the median over the rounds. timm's method is its create_transform over
    an ImageFolder, with normalization and random erasing; torchvision's is its dataset and transforms with torch's
    DataLoader. The recipe is the same, at full strength, without mixup. For files, RandAugment's magnitude does not
    vary, since timm then raises an error with Pillow 13.
    The stages of making an image from a file, or the share of a training step, are measured separately.
    """
    own, overrides = cli.split(words, DEFAULTS, sweep=False)
    chosen = cli.options(own, DEFAULTS)
    name = compose(overrides).data.name
    known = [each for each, entry in DATASETS.items() if entry.in_memory or entry.reader == "folders"]
    require(name in known, "data", name, " or ".join(known))
    images, batch = (12_800, 128) if dataset(name).in_memory else (256, 32)
    images = cli.whole(chosen, "images") if chosen["images"] else images
    images = -(-images // batch) * batch  # a part of a batch is not made by both methods
    sizes = [f"recipe.batch_size={batch}", f"recipe.bn_batch_size={batch}", f"data.max_train={images}"]
    config = compose([*overrides, *FIXED, *sizes])
    device, part = set_up(config), load(config, train=True)
    other = "timm" if isinstance(part, ImageFiles) else "torchvision"
    make = with_timm if isinstance(part, ImageFiles) else with_torchvision
    methods = {"ours": ours(part, config, images), other: make(part, config, images)}
    seconds = alternate(methods, rounds=cli.whole(chosen, "rounds"), clock="wall", warmup=1)
    ratios = [theirs / mine for theirs, mine in zip(seconds[other], seconds["ours"], strict=True)]
    for method, each in seconds.items():
        print(f"{method}: {images / statistics.median(each):,.0f} images/s")
    print(f"ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    if isinstance(part, ImageFiles):
        for stage, milliseconds in stages(part, config).items():
            print(f"{stage}: {milliseconds:.2f} ms per image")
    else:
        step = alternate({"step": our_step(config, device)}, rounds=31, clock="wall")["step"]
        share = statistics.median(seconds["ours"]) / images * batch / statistics.median(step)
        print(f"share of a training step of {config.step.name}, {config.regime.name} regime: {share:.1%}")
    return 0


def ours(part: Part, config: Config, images: int) -> Step:
    """Augmented batches of this project."""

    def go() -> None:
        left, epoch = images, 0
        while left > 0:
            batches = micro_batches(part, config.recipe, config.data, seed=0, epoch=epoch)
            for x, _ in islice(batches, left // config.recipe.batch_size):
                left -= len(x)
            epoch += 1

    return go


def with_timm(part: Part, config: Config, images: int) -> Step:
    """timm: one image after another, normalized and erased, stacked to batches."""
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


def with_torchvision(_part: Part, config: Config, images: int) -> Step:
    """torchvision: a dataset of PIL images, one transform per image, torch's loader."""
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


def stages(files: ImageFiles, config: Config) -> dict[str, float]:
    """Milliseconds per image of each stage."""
    places, seconds = files.chosen.tolist(), dict[str, float]()

    def stage(name: str, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        made: list[Any] = []
        seconds[name] = timed(lambda: made.extend(map(work, items)))
        return made

    images = stage("decode", lambda place: as_rgb(open_image(files.records.read(place))), places)
    stage("crop and flip", train_pipeline(replace(config.recipe, aa="none"), config.data), images)
    made = stage("with RandAugment", train_pipeline(config.recipe, config.data), images)
    batch = torch.stack([torch.as_tensor(each) for each in made])
    stage("normalize", lambda x: normalize(x, config.data), [batch])
    return {name: 1e3 * each / len(places) for name, each in seconds.items()}


if __name__ == "__main__":
    sys.exit(cli.run("data", main, sys.argv[1:]))

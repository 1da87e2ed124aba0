"""Cut-outs of real photographs in a folder per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from roadmap.config.compose import compose
from roadmap.config.schema import Config

CLASSES = ("astronaut", "chelsea", "coffee", "rocket")
"""Photographs in scikit-image; each is a class, its cut-outs are the images."""
WNIDS = tuple(f"n{number:08d}" for number in range(1, 1 + len(CLASSES)))
"""Names of the same classes where they are to be ImageNet's."""
SMALL = ["study=photos", "regime.img_size=32", "budget.epochs=1", "budget.batch_size=8", "budget.bn_batch_size=8"]


def small(words: list[str], *more: str) -> Config:
    """A run of one epoch on small images with the modern recipe."""
    return compose([*SMALL, *words, "+step=training_recipe", *more])


def on_folders(root: Path, *words: str) -> Config:
    """A run with the modern recipe on a tree of photographs."""
    return compose(["study=photos", f"data.root={root}", "data.num_classes=4", "+step=training_recipe", *words])


def photograph(name: str) -> Image.Image:
    """One of scikit-image's photographs."""
    path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    return Image.open(path).convert("RGB")


def plant(root: Path, *, train: int = 8, val: int = 4, names: Sequence[str] = CLASSES) -> Path:
    """Write root/train and root/val with this many JPEGs per class, in folders of these names; returns root."""
    chance = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for called, name in zip(names, CLASSES, strict=True):
            whole = photograph(name)
            folder = root / part / called
            folder.mkdir(parents=True)
            for i in range(count):
                left, top = (int(chance.integers(0, side - 250)) for side in whole.size)
                whole.crop((left, top, left + 250, top + 240)).save(folder / f"{i}.JPEG", quality=90)
    return root


def break_file(path: Path) -> None:
    """Truncate a file to half its size."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

"""The registry of data sets: one entry states the facts, the reader and the sources of each.

`data.name` is a key of `DATASETS`; conf/data/<name>.yaml holds the options, mean and std among them. To add a data set
of torchvision that fits in memory, add an entry here and its file there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roadmap.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class DataSet:
    """Facts of a data set, how it is fetched and what reads it."""

    channels: int = 3
    classes: int = 0  # 0: as many as its files have
    names: tuple[str, ...] = ()  # of the classes, where neither its files nor torchvision's tell
    size: int = 0  # height and width in pixels, of data in memory
    images: tuple[int, int] = (0, 0)  # for training and for testing; 0: as many as there are files
    torchvision: str = ""  # class in torchvision.datasets that fetches it and reads it into memory
    sha256: Mapping[str, str] = field(default_factory=dict)  # by file in data.root; read without torchvision
    debian_package: str = ""  # with the same files gzipped, if torchvision's mirror fails
    reader: str = ""  # for image files: module of roadmap.data whose `find(data, part)` lists them
    test_only: bool = False  # whether it only tests networks trained on ImageNet
    named: bool = True  # whether the name identifies the images; otherwise a run keeps a fingerprint of them

    @property
    def in_memory(self) -> bool:
        """Whether it is held in memory as one tensor."""
        return bool(self.torchvision)

    @property
    def class_folders(self) -> bool:
        """Whether its images are files in a folder per class."""
        return self.reader in ("folders", "test_sets")


FASHION_MNIST = {
    "FashionMNIST/raw/train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "FashionMNIST/raw/train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "FashionMNIST/raw/t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "FashionMNIST/raw/t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

DATASETS = {
    "fashion_mnist": DataSet(
        channels=1, classes=10, names=FASHION, size=28, images=(60_000, 10_000), torchvision="FashionMNIST",
        sha256=FASHION_MNIST, debian_package="dataset-fashion-mnist",
    ),
    "cifar10": DataSet(classes=10, size=32, images=(50_000, 10_000), torchvision="CIFAR10"),
    "cifar100": DataSet(classes=100, size=32, images=(50_000, 10_000), torchvision="CIFAR100"),
    "imagenet": DataSet(classes=1000, images=(1_281_167, 50_000), reader="folders"),
    "imagefolder": DataSet(reader="folders", named=False),
    "webdataset": DataSet(reader="shards", named=False),
    "parquet": DataSet(reader="parquet", named=False),
}  # fmt: skip

TEST_SETS = ("imagenet_v2", "imagenet_a", "imagenet_r", "imagenet_sketch", "imagenet_c")
DATASETS |= {name: DataSet(classes=1000, reader="test_sets", test_only=True) for name in TEST_SETS}


def dataset(name: str) -> DataSet:
    """The entry of a data set, or a ConfigError if there is none."""
    if name not in DATASETS:
        raise ConfigError(f"data.name={name}: allowed is one of {' '.join(DATASETS)}{did_you_mean(name, DATASETS)}")
    return DATASETS[name]


WNID = re.compile(r"n[0-9]{8}")
"""A class of ImageNet by its number in WordNet."""
NOT_MEANT = {
    "__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
    "network trash folder", "temporary items", "lost+found",
}  # fmt: skip
"""Folders of file managers, file systems and network drives, in lower case; others of them are hidden."""


def meant(name: str) -> bool:
    """Whether a file or folder belongs to a data set by its name: it is not hidden and not a file manager's."""
    return not name.startswith(".") and name.lower() not in NOT_MEANT


def class_folders(part: Path) -> list[str]:
    """Names of the folders in a part of a data set, one per class, in the order of their labels."""
    try:
        return in_order(path.name for path in part.iterdir() if meant(path.name) and path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def split_hint(root: Path) -> str:
    """What to append to a refusal of a folder whose classes are not split into train and val; empty for others."""
    command = f"python scripts/split.py data.root={root} to=FOLDER splits them into train and val"
    return f"; classes lie in {root} itself: {command}" if {*class_folders(root)} - {"train", "val"} else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes in the order of their labels: sorted, as numbers if all of them are numbers.

    timm's order of numbers; torchvision's ImageFolder sorts them as text.
    """
    known = sorted(names)
    numbers = all(name.isascii() and name.isdecimal() for name in known)
    return sorted(known, key=int) if numbers else known

"""Images as files in a folder per class. Imports no torch until images are listed for training."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

from roadmap.config.schema import DataConfig
from roadmap.data import imagenet
from roadmap.data.datasets import class_folders, dataset, meant
from roadmap.data.records import Records
from roadmap.errors import DataError, first_names

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of image files, as in torchvision."""
HIDDEN = "hidden or a file manager's"


@dataclass(frozen=True, kw_only=True)
class Folders(Records):
    """The images of where/<class>/ in the order of their paths."""

    paths: list[str]

    def name(self, i: int) -> str:
        return self.paths[i]

    def relative_names(self) -> Iterable[str]:
        return (path[len(self.where) + 1 :] for path in self.paths)

    def read(self, i: int) -> bytes:
        return Path(self.paths[i]).read_bytes()


@dataclass
class Tree:
    """The files below a folder."""

    images: dict[str, list[str]] = field(default_factory=dict)  # by folder: names of files, sorted
    others: list[str] = field(default_factory=list)  # paths of files that are not images by their name
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by reason: what is not meant

    def notes(self, root: str) -> list[str]:
        """A line for each reason to skip something."""
        return [
            f"{root}: skipped, {reason}: {first_names([os.path.relpath(path, root) for path in paths])}"
            for reason, paths in self.skipped.items()
        ]


def find(data: DataConfig, part: str) -> Folders:
    """`records.find`, in the order of classes and paths; a DataError if a folder cannot be listed."""
    root = Path(data.root).expanduser()
    folder, names, of_imagenet = root / part, class_names(data, part), data.name == "imagenet"
    if not names and of_imagenet and part == "val" and (flat := imagenet.flat_images(root)):
        return _flat(root, flat)
    if not names:
        raise DataError(f"{folder}: a folder of images for every class is needed")
    if of_imagenet:
        imagenet.require_wnids(folder, names)
    return list_classes(folder, {name: label for label, name in enumerate(names)}, classes=names)


def class_names(data: DataConfig, part: str) -> list[str]:
    """`records.class_names`."""
    return class_folders(Path(data.root).expanduser() / part)


def _flat(root: Path, flat: Mapping[str, Path]) -> Folders:
    """ImageNet's validation images side by side, in the order that they have in folders."""
    import torch

    wnids = imagenet.validation_classes(root)
    imagenet.refuse_missing(root, flat, wnids)
    classes, images = sorted({*wnids.values()}), sorted(wnids, key=lambda name: (wnids[name], name))
    return Folders(
        where=f"{root}: validation images",
        paths=[str(flat[name]) for name in images],
        labels=torch.tensor([classes.index(wnids[name]) for name in images], dtype=torch.int64),
        classes=classes,
        notes=[f"{root}: classes of the validation images from {imagenet.classes_file(root)}"],
    )


def list_classes(where: Path, labels: Mapping[str, int], *, classes: list[str]) -> Folders:
    """The images in the folders of `labels`, sorted by label and path."""
    import torch

    tree, found = walk(where), {name: list[str]() for name in sorted(labels, key=labels.__getitem__)}
    for at, names in sorted(tree.images.items()):
        name = at[len(str(where)) + 1 :].partition(os.sep)[0]
        paths = [os.path.join(at, each) for each in names]  # noqa: PTH118 (a million times)
        found.get(name, tree.others).extend(paths)
    notes = tree.notes(str(where))
    if classes != sorted(classes):
        notes.append(
            f"{where}: classes are sorted as numbers, as by timm; torchvision's ImageFolder sorts them as text"
        )
    return Folders(
        where=str(where),
        paths=[path for paths in found.values() for path in paths],
        labels=torch.tensor([labels[name] for name, paths in found.items() for _ in paths], dtype=torch.int64),
        classes=classes,
        errors=[f"{where / name}: no images" for name, paths in found.items() if not paths],
        others=tree.others,
        notes=notes,
    )


def walk(root: Path) -> Tree:
    """The files below a folder, following links to folders; each folder once, by its own path rather than by a link.

    Files without a use, pipes and devices among them, are skipped: a device named as an image would be read for ever.
    A folder that cannot be listed raises a DataError: its images would be missed silently.
    """
    tree, ahead = Tree(), [(False, str(root))]
    seen = {
        _identity(parent) for parent in root.resolve().parents if parent.exists()
    }  # a link upwards leads to other parts
    while ahead:
        _, at = heappop(ahead)  # links last
        try:
            folder = _identity(Path(at))
            with os.scandir(at) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}") from error
        if folder in seen:
            tree.skipped["reached twice through links"].append(at)
            continue
        seen.add(folder)
        for entry in entries:
            if not meant(entry.name):
                tree.skipped[HIDDEN].append(entry.path)
            elif _is(entry.is_dir):
                heappush(ahead, (entry.is_symlink(), entry.path))
            elif not entry.name.lower().endswith(EXTENSIONS):
                tree.others.append(entry.path)
            elif _is(entry.is_file) or not Path(entry.path).exists():  # a lost link fails when it is read
                tree.images.setdefault(at, []).append(entry.name)
            else:
                tree.skipped["neither files nor folders"].append(entry.path)
    return tree


def _identity(folder: Path) -> tuple[int, int]:
    """What is the same for all paths to a folder."""
    state = folder.stat()
    return state.st_dev, state.st_ino


def _is(test: Callable[[], bool]) -> bool:
    """Whether a test of a directory entry is true; not for a link that leads to itself."""
    try:
        return test()
    except OSError:
        return False


def image_paths(folder: Path) -> Iterator[str]:
    """Paths of the image files below a folder, sorted by folder and name; none without the folder. See `walk`."""
    for at, names in sorted(walk(folder).images.items()):
        for name in names:
            yield os.path.join(at, name)  # noqa: PTH118 (a million times)


def count_images(data: DataConfig) -> tuple[int, int] | None:
    """Image files for training and for testing; None for data sets of known size, other readers or missing folders."""
    entry, parts = dataset(data.name), [Path(data.root).expanduser() / part for part in ("train", "val")]
    if entry.reader != "folders" or any(entry.images) or not all(class_folders(part) for part in parts):
        return None
    train, val = (sum(len(names) for at, names in walk(part).images.items() if at != str(part)) for part in parts)
    return train, val

"""Split a folder of classes into train and val, by share, by seed, and by scene."""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from roadmap.data.datasets import class_folders
from roadmap.data.folders import walk
from roadmap.data.records import PARTS
from roadmap.errors import DataError, require

DEFAULTS = {"data.root": "", "to": "", "share": "0.2", "seed": "0", "prefix": "", "files": "link"}
Classes = dict[str, dict[str, list[Path]]]  # images by class and scene, relative to the class


def main(words: list[str]) -> int:
    """Split a folder of classes into train and val, which every class is in both of.

        python scripts/split.py data.root=/path/to/classes to=/path/to/photos
        python scripts/split.py data.root=/path/to/classes to=/path/to/photos share=0.1 seed=1 files=copy
        python scripts/split.py data.root=/path/to/classes to=/path/to/photos prefix=_

    share= of each class, chosen by seed=, goes into val. Images of one scene or person must not be in both parts:
    with prefix=_ those whose names agree up to the last _ stay together (beach_1.jpg, beach_2.jpg), in all classes;
    with prefix=8 those whose names agree in 8 characters; with prefix=/ those of a folder inside a class.
    files=link makes symbolic links, files=copy copies; the originals stay as they are. `to` must not exist.

    Exit code: 0 done, 2 refused.
    """
    from roadmap.cli import choice, options, positive

    given = options(words, DEFAULTS)
    for key in ("data.root", "to"):
        require(bool(given[key]), key, "", "a folder")
    source, to = (Path(given[key]).expanduser().absolute() for key in ("data.root", "to"))
    require(source.is_dir(), "data.root", given["data.root"], "a folder with a folder of images for every class")
    require(not to.exists() and not to.is_symlink(), "to", given["to"], "a folder that does not exist yet")
    inside = to.resolve().is_relative_to(source.resolve())
    require(not inside, "to", given["to"], f"a folder outside of {source}, whose folders are classes")
    share, seed = positive(given, "share"), given["seed"]
    require(share < 1, "share", given["share"], "more than 0, below 1")
    require(seed.isascii() and seed.isdecimal(), "seed", seed, "a whole number from 0 on")
    copied = choice(given, "files", ("link", "copy")) == "copy"
    found, notes = scenes(source, given["prefix"])
    val = chosen(found, share, int(seed))
    for part, count in write(source, to, found, val=val, copied=copied).items():
        print(f"{part}: {count:,} images in {len(found):,} classes")
    print("\n".join([*notes, f"{to}: check it with scripts/check_data.py study=photos data.root={to}"]))
    return 0


def scenes(source: Path, prefix: str) -> tuple[Classes, list[str]]:
    """The images of each class by scene, and notes on what was skipped; a DataError if they are split or none."""
    names = class_folders(source)
    if {*names} & {*PARTS}:
        raise DataError(f"{source}: it is split already, or not a folder of classes: it has {' '.join(names[:5])}")
    tree, found = walk(source), {name: defaultdict[str, list[Path]](list) for name in names}
    for at, files in sorted(tree.images.items()):
        name, *folders = Path(at).relative_to(source).parts or ("",)
        for file in files if name in found else ():
            path = Path(*folders, file)
            scene = _scene(path.as_posix(), prefix) if prefix else f"{name}/{path.as_posix()}"
            found[name][scene].append(path)
    if not found:
        raise DataError(f"{source}: no folders of images: a folder for every class is needed")
    return {name: dict(by_scene) for name, by_scene in found.items()}, tree.notes(str(source))


def _scene(name: str, prefix: str) -> str:
    if prefix.isascii() and prefix.isdecimal():
        return name[: int(prefix)]
    return name.rpartition(prefix)[0] or name


def chosen(found: Classes, share: float, seed: int) -> set[str]:
    """The scenes that go into val: of each class, those of the seed that come nearest to its share of images.

    A scene is in one part in all classes. A DataError for a class that cannot be in both parts.
    """

    def rank(scene: str) -> bytes:
        return hashlib.blake2b(f"{seed}/{scene}".encode(errors="surrogateescape"), digest_size=8).digest()

    val = set[str]()
    for by_scene in found.values():
        wanted = share * sum(map(len, by_scene.values()))
        count = sum(len(images) for scene, images in by_scene.items() if scene in val)
        others = sorted(by_scene.keys() - val, key=rank)
        for scene in others:
            more = count + len(by_scene[scene])
            if abs(more - wanted) < abs(count - wanted):
                val.add(scene)
                count = more
        if count == 0 and others:
            val.add(min(others, key=lambda scene: len(by_scene[scene])))
    for name, by_scene in found.items():
        if by_scene.keys() <= val:
            several = "all of its scenes would be in val" if len(by_scene) > 1 else "it needs two images or two scenes"
            raise DataError(f"class {name}: {several}: split it by hand, or with another prefix, share or seed")
    return val


def write(source: Path, to: Path, found: Classes, *, val: set[str], copied: bool) -> Mapping[str, int]:
    """Write to/train and to/val, whole or not at all; returns the images in each."""
    counts = dict.fromkeys(PARTS, 0)
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        for name, by_scene in found.items():
            for scene, images in by_scene.items():
                part = "val" if scene in val else "train"
                counts[part] += len(images)
                for image in images:
                    target = temporary / part / name / image
                    target.parent.mkdir(parents=True, exist_ok=True)
                    original = source / name / image
                    shutil.copy2(original, target) if copied else target.symlink_to(original)
        temporary.rename(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counts

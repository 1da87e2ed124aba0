"""Tar archives, and ImageNet-1K's own ones sorted into class folders.

ImageNet comes as two archives of images and a devkit that states the classes. A class is unpacked into a hidden folder
that is renamed once it is complete, so work that was stopped or killed continues with the next class. Archives stay.
"""

import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from rich.progress import track

from roadmap.data import imagenet
from roadmap.data.datasets import WNID, class_folders, meant
from roadmap.errors import DataError, require_plain_name
from roadmap.files import lock
from roadmap.terminal import Terminal

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


class Unsorted(NamedTuple):
    """A class that has no folder yet."""

    wnid: str
    bytes: int
    write: Callable[[Path], None]  # fills an empty folder


def sort(root: Path) -> None:
    """Make the missing class folders of root/train and root/val, if there are archives or images to make them from.

    Archives and devkit are checked before hours of work begin. A DataError if something is missing or damaged, or the
    disk is too full; complete classes stay.
    """
    with ExitStack() as stack:
        train, val = _train(root, stack), _val(root, stack)
        if train and not val and not class_folders(root / "val"):
            raise DataError(f"{root / VAL} is needed, or the images of the validation side by side in {root / 'val'}")
        for each in (*train, *val):
            require_plain_name(f"{root}: wnid", each.wnid, pattern=WNID, allowed="n and eight digits")
        for part, classes in ((root / "train", train), (root / "val", val)):
            if classes:
                with lock(root, wait=600.0):
                    _write(part, [each for each in classes if not (part / each.wnid).is_dir()])


def regular_files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The regular files of a seekable archive; then an error if it is truncated, which tarfile does not notice."""
    yield from (member for member in tar if member.isreg())
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end of archive after {tar.offset:,} bytes")


def meant_member(name: str) -> bool:
    """Whether a file in an archive is meant by its name and folders: macOS packs a hidden ._NAME beside each NAME."""
    return all(meant(each) for each in PurePosixPath(name).parts if each not in ("/", ".."))


def _write(part: Path, classes: list[Unsorted]) -> None:
    needed, free = sum(each.bytes for each in classes), shutil.disk_usage(part.parent).free
    if needed > free:
        raise DataError(f"{part}: {needed / 1e9:.1f} GB are still to be unpacked, {free / 1e9:.1f} GB are free")
    part.mkdir(exist_ok=True)
    for leftover in part.glob(".*.tmp"):
        shutil.rmtree(leftover)
    console = Terminal(soft_wrap=False)
    bar = track(classes, f"sorting {part.name}", console=console, disable=not console.is_terminal)
    for done, each in enumerate(bar, start=1):
        temporary = part / f".{each.wnid}.tmp"
        temporary.mkdir()
        each.write(temporary)
        os.sync()  # so that a renamed folder is complete even after a power cut
        temporary.rename(part / each.wnid)
        if not console.is_terminal and (done % 100 == 0 or done == len(classes)):
            print(f"imagenet: {part.name}: {done} of {len(classes)} classes sorted", flush=True)


def _train(root: Path, stack: ExitStack) -> list[Unsorted]:
    """Training classes without a folder, in the archive of archives or in unpacked archives of single classes."""
    path, found = root / TRAIN, dict[str, Unsorted]()
    for pattern in ("train/*.tar", "n????????.tar", "ILSVRC2012_img_train/*.tar"):
        for inner in sorted(root.glob(pattern)):
            write = partial(_extract_archive, str(inner), partial(inner.open, "rb"))
            found[inner.stem] = Unsorted(inner.stem, inner.stat().st_size, write)
    if path.is_file():
        tar = stack.enter_context(_opened(path))
        for member in filter(lambda each: meant_member(each.name), regular_files(tar)):
            wnid = PurePosixPath(member.name).stem
            write = partial(_extract_archive, f"{path}:{member.name}", partial(tar.extractfile, member))
            found[wnid] = Unsorted(wnid, member.size, write)
    return [each for wnid, each in sorted(found.items()) if not (root / "train" / wnid).is_dir()]


def _val(root: Path, stack: ExitStack) -> list[Unsorted]:
    """Validation classes without a folder, from images in their archive or side by side."""
    folder, archive, flat = root / "val", root / VAL, imagenet.flat_images(root)
    sorted_elsewhere = bool(class_folders(folder)) and imagenet.classes_file(root) is None
    if sorted_elsewhere or not (flat or archive.is_file()):
        return []
    names, classes = dict[str, list[str]](), imagenet.validation_classes(root)
    for name, wnid in classes.items():
        names.setdefault(wnid, []).append(name)
    stack.callback(_remove_duplicates, folder, names)
    missing = {wnid: names[wnid] for wnid in sorted(names) if not (folder / wnid).is_dir()}
    if not missing:
        return []
    if flat:
        imagenet.refuse_missing(next(iter(flat.values())).parent, flat, classes)
        return [Unsorted(wnid, 0, partial(_link, [flat[name] for name in listed])) for wnid, listed in missing.items()]
    tar = stack.enter_context(_opened(archive))
    members = {PurePosixPath(member.name).name: member for member in regular_files(tar)}
    imagenet.refuse_missing(archive, members, classes)
    images = {wnid: [members[name] for name in listed] for wnid, listed in missing.items()}
    return [Unsorted(wnid, sum(i.size for i in each), partial(_extract, tar, each)) for wnid, each in images.items()]


def _remove_duplicates(folder: Path, names: dict[str, list[str]]) -> None:
    """Remove the images side by side in a folder that are in their class folders, too."""
    for path, copy in ((folder / name, folder / wnid / name) for wnid, listed in names.items() for name in listed):
        if copy.is_file():
            path.unlink(missing_ok=True)


def _extract_archive(name: str, stream: Callable[[], Any], folder: Path) -> None:
    """Extract the archive of a class, a file or a member of another archive."""
    with stream() as opened, _opened(name, opened) as tar:
        _extract(tar, regular_files(tar), folder)


def _extract(tar: tarfile.TarFile, members: Iterable[tarfile.TarInfo], folder: Path) -> None:
    """Extract files under their bare names, so that none can leave the folder."""
    for member in filter(lambda each: meant_member(each.name), members):
        tar.extract(member.replace(name=PurePosixPath(member.name).name, deep=False), folder, filter="data")


def _link(paths: list[Path], folder: Path) -> None:
    for path in paths:
        try:
            os.link(path, folder / path.name)
        except OSError:  # another file system, or one without links
            shutil.copy2(path, folder / path.name)


@contextmanager
def _opened(path: Path | str, stream: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """An uncompressed archive, which has random access, in a file or in a stream."""
    try:
        with tarfile.open(path, "r:", stream) as tar:
            yield tar
    except tarfile.TarError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error

"""ImageNet-1K as it is handed out, sorted into folders: two archives of images, and the devkit that knows the classes.

A class is unpacked into a folder beside its own, which takes its name when it is whole: work that was stopped, however
it was stopped, goes on with the next class. Archives stay where they are.
"""

import os
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from rich.console import Console
from rich.progress import track

from roadmap.config.checks import class_folders
from roadmap.data.devkit import DEVKIT, validation_wnids
from roadmap.data.tars import regular
from roadmap.errors import DataError
from roadmap.files import lock

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
FLAT = ("val", "ILSVRC2012_img_val", ".")
"""Folders in which the validation images may lie side by side."""
APART = ("train/*.tar", "n????????.tar", "ILSVRC2012_img_train/*.tar")
"""Where the archives of the classes may lie, if somebody has unpacked the one that holds them."""
LOCK_SECONDS = 600.0


class Unsorted(NamedTuple):
    """A class that has no folder yet."""

    wnid: str
    bytes: int
    write: Callable[[Path], None]
    """Fills an empty folder."""


def sort(root: Path) -> None:
    """Make the folders of root/train and root/val that are missing, if there is something to make them from.

    Archives and devkit are looked at before hours of work begin.

    Raises:
        DataError: something is missing or damaged, or there is too little room; whole classes stay.
        Locked: another process is still at it after LOCK_SECONDS.
    """
    with _train(root) as train, _val(root) as val:
        if train and not val and not class_folders(root / "val"):
            raise DataError(f"{root / VAL} is needed, or the images of the validation side by side in {root / 'val'}")
        for part, classes in (("train", train), ("val", val)):
            if not classes:
                continue
            with lock(root, wait=LOCK_SECONDS):
                _write(root / part, [each for each in classes if not (root / part / each.wnid).is_dir()])


def _write(part: Path, classes: list[Unsorted]) -> None:
    needed, free = sum(each.bytes for each in classes), shutil.disk_usage(part.parent).free
    if needed > free:
        raise DataError(f"{part}: {needed / 1e9:.1f} GB are still to be unpacked, {free / 1e9:.1f} GB are free")
    part.mkdir(exist_ok=True)
    for leftover in part.glob(".*.tmp"):
        shutil.rmtree(leftover)
    console = Console()
    shown = track(classes, f"sorting {part.name}", console=console) if console.is_terminal else classes
    for done, each in enumerate(shown, start=1):
        temporary = part / f".{each.wnid}.tmp"
        temporary.mkdir()
        each.write(temporary)
        os.sync()  # a folder that has its name is whole, even if the power fails
        temporary.rename(part / each.wnid)
        if not console.is_terminal and (done % 100 == 0 or done == len(classes)):
            print(f"imagenet: {part.name}: {done} of {len(classes)} classes sorted", flush=True)


@contextmanager
def _train(root: Path) -> Iterator[list[Unsorted]]:
    """Of the archive of a thousand archives, one a class, or of these side by side, those that have no folder."""
    path = root / TRAIN
    apart = {inner.stem: inner for place in APART for inner in sorted(root.glob(place))}
    beside = [Unsorted(wnid, inner.stat().st_size, _unpacked(inner)) for wnid, inner in apart.items()]
    with ExitStack() as stack:
        inside = []
        if path.is_file():
            tar = stack.enter_context(_opened(path))
            inside = [
                Unsorted(PurePosixPath(member.name).stem, member.size, _unpacked_from(tar, member, str(path)))
                for member in regular(tar, str(path))
            ]
        found = {each.wnid: each for each in (*beside, *inside)}
        yield [each for wnid, each in sorted(found.items()) if not (root / "train" / wnid).is_dir()]


def _unpacked(path: Path) -> Callable[[Path], None]:
    """What fills a folder from the archive of a class."""

    def write(folder: Path) -> None:
        with _opened(path) as inner:
            _extract_all(inner, str(path), folder)

    return write


def _unpacked_from(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Callable[[Path], None]:
    """The same from an archive inside another."""

    def write(folder: Path) -> None:
        name = f"{path}:{member.name}"
        with tar.extractfile(member) as stream, _opened(name, stream) as inner:  # type: ignore[union-attr]
            _extract_all(inner, name, folder)

    return write


def _extract_all(tar: tarfile.TarFile, name: str, folder: Path) -> None:
    for image in regular(tar, name):
        _extract(tar, image, folder)


@contextmanager
def _val(root: Path) -> Iterator[list[Unsorted]]:
    """Of the classes of the validation images, in their archive or side by side, those that have no folder."""
    folder, archive = root / "val", root / VAL
    flat = {path.name: path for place in FLAT for path in (root / place).glob("ILSVRC2012_val_*.JPEG")}
    by_another = bool(class_folders(folder)) and not (root / DEVKIT).is_file()
    if by_another or not (flat or archive.is_file()):
        yield []
        return
    wnids = validation_wnids(root / DEVKIT)
    names: dict[str, list[str]] = {wnid: [] for wnid in sorted(set(wnids))}
    for number, wnid in enumerate(wnids, start=1):
        names[wnid].append(_name(number))
    missing = {wnid: listed for wnid, listed in names.items() if not (folder / wnid).is_dir()}
    if missing and not flat:
        with _opened(archive) as tar:
            members = {PurePosixPath(member.name).name: member for member in regular(tar, str(archive))}
            _same_number(archive, members.keys(), wnids)
            yield [
                Unsorted(wnid, sum(members[name].size for name in listed), _extracted(tar, members, listed))
                for wnid, listed in missing.items()
            ]
        return
    if missing:
        _same_number(next(iter(flat.values())).parent, flat.keys(), wnids)
    yield [Unsorted(wnid, 0, _linked(flat, listed)) for wnid, listed in missing.items()]
    for wnid, listed in names.items():  # all are in their folders: what is left in val is there twice
        for name in listed:
            if (folder / wnid / name).is_file():
                (folder / name).unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def _extracted(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], names: list[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            _extract(tar, members[name], folder)

    return write


def _linked(flat: dict[str, Path], names: list[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            try:
                os.link(flat[name], folder / name)
            except OSError:  # another file system, or one without links
                shutil.copy2(flat[name], folder / name)

    return write


def _same_number(where: Path, there: Collection[str], wnids: list[str]) -> None:
    absent = [name for i in range(1, len(wnids) + 1) if (name := _name(i)) not in there]
    if absent:
        raise DataError(f"{where}: {absent[0]} is not there ({len(absent):,} of {len(wnids):,} are not)")


@contextmanager
def _opened(path: Path | str, stream: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """An archive, in a file or in a stream, without compression, so that any of its files is at hand."""
    try:
        with tarfile.open(path, "r:") if stream is None else tarfile.open(fileobj=stream, mode="r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """A file of an archive, under its own name and nowhere but in the folder."""
    tar.extract(member.replace(name=PurePosixPath(member.name).name, deep=False), folder, filter="data")

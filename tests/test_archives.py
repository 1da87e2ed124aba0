"""ImageNet's archives are sorted into folders, however often the work is stopped."""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from helpers.containers import add, shuffled, write_devkit, write_originals
from helpers.photographs import CLASSES, plant

from roadmap.config.schema import DataConfig
from roadmap.data import archives
from roadmap.data.fetch import prepare
from roadmap.errors import DataError

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
COUNT = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("photos"), train=COUNT, val=COUNT)


@pytest.fixture
def root(tree: Path, tmp_path: Path) -> Path:
    return write_originals(tree, tmp_path / "imagenet")


def sort(root: Path) -> None:
    prepare(DataConfig(name="imagenet", root=str(root)))


def contents(part: Path) -> dict[str, list[bytes]]:
    """What the classes hold, whatever their images are called."""
    return {folder.name: [path.read_bytes() for path in sorted(folder.iterdir())] for folder in part.iterdir()}


def is_sorted(root: Path, tree: Path) -> bool:
    return all(contents(root / part) == contents(tree / part) for part in ("train", "val"))


def test_archives_become_folders_once(root: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sort(root)
    assert is_sorted(root, tree)
    assert sorted(path.name for path in (root / "val" / "rocket").iterdir()) == [
        f"ILSVRC2012_val_{number:08d}.JPEG" for number in (4, 8, 12)
    ]
    assert capsys.readouterr().out.splitlines() == [
        "imagenet: train: 4 of 4 classes sorted",
        "imagenet: val: 4 of 4 classes sorted",
        f"imagenet: ready in {root}",
    ]
    for name in (TRAIN, VAL):
        assert (root / name).is_file()
    sort(root)
    assert capsys.readouterr().out == f"imagenet: ready in {root}\n"


STOPPED = """
import sys, tarfile
from roadmap.config.schema import DataConfig
from roadmap.data import fetch

left, extract = int(sys.argv[2]), tarfile.TarFile.extract

def watched(*arguments, **options):
    global left
    extract(*arguments, **options)
    left -= 1
    if left == 0:
        print("now", flush=True)
        sys.stdin.read()

tarfile.TarFile.extract = watched
fetch.prepare(DataConfig(name="imagenet", root=sys.argv[1]))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("images", [2, 3, 14])
def test_a_killed_process_leaves_complete_classes_and_the_next_continues(root: Path, tree: Path, images: int) -> None:
    command = [sys.executable, "-c", STOPPED, str(root), str(images)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != "now\n":
        assert process.poll() is None
    process.kill()
    process.communicate()
    there = {path: path.stat().st_mtime_ns for path in root.glob("*/[a-z]*") if path.is_dir()}
    assert len(there) == (images - 1) // COUNT
    assert all(len(list(folder.iterdir())) == COUNT for folder in there)
    sort(root)
    assert is_sorted(root, tree)
    assert all(folder.stat().st_mtime_ns == before for folder, before in there.items())


@pytest.mark.parametrize("place", ["val", ".", "ILSVRC2012_img_val"])
def test_validation_images_side_by_side_are_sorted(root: Path, tree: Path, place: str) -> None:
    (root / VAL).unlink()
    (root / place).mkdir(exist_ok=True)
    for number, (_, path) in enumerate(shuffled(tree), start=1):
        shutil.copy(path, root / place / f"ILSVRC2012_val_{number:08d}.JPEG")
    sort(root)
    assert is_sorted(root, tree)
    kept = list((root / place).glob("*.JPEG"))
    assert len(kept) == (0 if place == "val" else COUNT * len(CLASSES))
    sort(root)
    assert is_sorted(root, tree)


def test_existing_folders_do_not_change(root: Path, tree: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(tree / part, root / part)
    (root / "train" / "coffee" / "0.JPEG").write_text("mine")
    shutil.rmtree(root / "train" / "rocket")
    (root / DEVKIT).unlink()
    (root / "train" / ".chelsea.tmp").mkdir()
    sort(root)
    assert (root / "train" / "coffee" / "0.JPEG").read_text() == "mine"
    assert contents(root / "train")["rocket"] == contents(tree / "train")["rocket"]
    assert contents(root / "val") == contents(tree / "val")
    assert sorted(path.name for path in (root / "train").iterdir()) == sorted(CLASSES)


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, b"", b"<html>"])
@pytest.mark.parametrize("name", [TRAIN, VAL, DEVKIT])
def test_a_damaged_archive_is_named_before_anything_is_unpacked(root: Path, name: str, left: float | bytes) -> None:
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: int(left * len(content))] if isinstance(left, float) else left)
    with pytest.raises(DataError, match=f"^{root / name}"):
        sort(root)
    assert not (root / "train").exists()


@pytest.mark.parametrize("place", ["train", "ILSVRC2012_img_train"])
def test_archives_of_classes_that_were_unpacked_by_hand_are_sorted(root: Path, tree: Path, place: str) -> None:
    (root / place).mkdir()
    with tarfile.open(root / TRAIN) as tar:
        tar.extractall(root / place, filter="data")
    (root / TRAIN).unlink()
    sort(root)
    for path in (root / "train").glob("*.tar"):
        path.unlink()
    assert is_sorted(root, tree)


def test_a_truncated_class_is_named_and_the_classes_before_it_stay(root: Path, tree: Path) -> None:
    with tarfile.open(root / TRAIN) as tar:
        inside = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    with tarfile.open(root / TRAIN, "w") as tar:
        for name, content in inside.items():
            add(tar, name, content[: len(content) // 2] if name == "coffee.tar" else content)
    with pytest.raises(DataError, match=f"{root / TRAIN}:coffee.tar: cannot be read: "):
        sort(root)
    assert sorted(path.name for path in (root / "train").glob("[a-z]*")) == ["astronaut", "chelsea"]


def test_missing_files_and_disk_space_are_named(root: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_devkit(root, [label for label, _ in shuffled(tree)] + [0])
    with pytest.raises(DataError, match=rf"{VAL}: ILSVRC2012_val_00000013.JPEG is not there \(1 of 13 are not\)"):
        sort(root)
    (root / DEVKIT).unlink()
    with pytest.raises(DataError, match=f"^{root / DEVKIT} is needed: it knows the classes of the validation images"):
        sort(root)
    write_devkit(root, [label for label, _ in shuffled(tree)])
    (root / VAL).rename(root / "val.tar")
    with pytest.raises(DataError, match=f"^{root / VAL} is needed, or the images"):
        sort(root)
    assert not (root / "train").exists()
    (root / "val.tar").rename(root / VAL)
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"train: 0\.0 GB are still to be unpacked, 0\.0 GB are free"):
        sort(root)
    (root / TRAIN).unlink()
    with pytest.raises(DataError, match=f"or put {TRAIN}, {VAL} and {DEVKIT} there"):
        shutil.rmtree(root / "train", ignore_errors=True)
        (root / VAL).unlink()
        sort(root)


def test_names_in_archives_cannot_leave_the_folder(root: Path, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        add(archive, "../../../outside.JPEG", b"x")
    with tarfile.open(root / TRAIN, "w") as tar:
        add(tar, "../n1.tar", inner.getvalue())
    sort(root)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("outside*")] == [
        "imagenet/train/n1/outside.JPEG"
    ]

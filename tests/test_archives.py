"""ImageNet's archives are sorted into folders, however often the work is stopped."""

import io
import itertools
import os
import shutil
import signal
import tarfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from helpers.containers import add, write_devkit, write_originals, write_solution
from helpers.photographs import WNIDS, plant
from helpers.synthetic import run

from roadmap.config.schema import DataConfig
from roadmap.data import archives
from roadmap.data.fetch import prepare
from roadmap.errors import ConfigError, DataError

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
COUNT = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("photos"), train=COUNT, val=COUNT, names=WNIDS)


@pytest.fixture
def root(tree: Path, tmp_path: Path) -> Path:
    return write_originals(tree, tmp_path / "imagenet")


def sort(root: Path) -> None:
    prepare(DataConfig(name="imagenet", root=str(root)))


def contents(root: Path) -> dict[str, list[bytes]]:
    """What the classes hold, whatever their images are called."""
    folders = (folder for part in ("train", "val") for folder in (root / part).iterdir() if folder.is_dir())
    return {str(folder.relative_to(root)): [p.read_bytes() for p in sorted(folder.iterdir())] for folder in folders}


def test_archives_become_folders_once_and_without_torch(
    root: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run("data=imagenet", f"data.root={root}", cwd=tmp_path, script="fetch_data")
    said = [f"imagenet: {part}: 4 of 4 classes sorted" for part in ("train", "val")]
    assert (done.stdout.splitlines(), done.stderr) == ([*said, f"imagenet: ready in {root}"], "False\n")
    assert contents(root) == contents(tree) and (root / TRAIN).is_file() and (root / VAL).is_file()
    numbers = {path.name for path in (root / "val" / WNIDS[3]).iterdir()}
    assert numbers == {f"ILSVRC2012_val_{number:08d}.JPEG" for number in (4, 8, 12)}
    sort(root)
    assert capsys.readouterr().out == f"imagenet: ready in {root}\n"


@pytest.mark.parametrize("images", [2, 3, 14])
def test_a_killed_process_leaves_complete_classes_and_the_next_continues(
    root: Path, tree: Path, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, count = tarfile.TarFile.extract, itertools.count(1)

    def watched(*arguments: Any, **options: Any) -> None:
        extract(*arguments, **options)
        if next(count) == images:
            os.kill(os.getpid(), signal.SIGKILL)

    process = get_context("fork").Process(target=sort, args=[root])
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", watched)
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    there = {path: path.stat().st_mtime_ns for path in root.glob("*/[a-z]*") if path.is_dir()}
    assert len(there) == (images - 1) // COUNT
    assert all(len(list(folder.iterdir())) == COUNT for folder in there)
    sort(root)
    assert contents(root) == contents(tree)
    assert all(folder.stat().st_mtime_ns == before for folder, before in there.items())


@pytest.mark.parametrize(
    ("train", "val"), [("train", "val"), ("ILSVRC2012_img_train", "ILSVRC2012_img_val"), ("train", ".")]
)
def test_archives_that_were_unpacked_by_hand_are_sorted(root: Path, tree: Path, train: str, val: str) -> None:
    """Archives of classes, and validation images side by side."""
    for name, place in ((TRAIN, train), (VAL, val)):
        with tarfile.open(root / name) as tar:
            tar.extractall(root / place, filter="data")
        (root / name).unlink()
    sort(root)
    kept = list((root / val).glob("*.JPEG"))
    assert len(kept) == (0 if val == "val" else COUNT * len(WNIDS))
    for _ in range(2):
        assert contents(root) == contents(tree)
        sort(root)


def test_kaggles_table_sorts_the_validation_images_too(root: Path, tree: Path) -> None:
    (root / DEVKIT).unlink()
    write_solution(root / "LOC_val_solution.csv", [*WNIDS] * COUNT)
    sort(root)
    assert contents(root) == contents(tree)


def test_existing_folders_do_not_change(root: Path, tree: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(tree / part, root / part)
    (root / "train" / WNIDS[2] / "0.JPEG").write_text("mine")
    shutil.rmtree(root / "train" / WNIDS[3])
    (root / DEVKIT).unlink()
    (root / "train" / ".n00000002.tmp").mkdir()
    sort(root)
    coffee = contents(tree)[f"train/{WNIDS[2]}"]
    assert contents(root) == contents(tree) | {f"train/{WNIDS[2]}": [b"mine", *coffee[1:]]}


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, b"", b"<html>"])
@pytest.mark.parametrize("name", [TRAIN, VAL, DEVKIT])
def test_a_damaged_archive_is_named_before_anything_is_unpacked(root: Path, name: str, left: float | bytes) -> None:
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: int(left * len(content))] if isinstance(left, float) else left)
    with pytest.raises(DataError, match=f"^{root / name}"):
        sort(root)
    assert not (root / "train").exists()


def test_a_truncated_class_is_named_and_the_classes_before_it_stay(root: Path) -> None:
    with tarfile.open(root / TRAIN) as tar:
        inside = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    with tarfile.open(root / TRAIN, "w") as tar:
        for name, content in inside.items():
            add(tar, name, content[: len(content) // 2] if name == f"{WNIDS[2]}.tar" else content)
    with pytest.raises(DataError, match=f"{root / TRAIN}:{WNIDS[2]}.tar: cannot be read: "):
        sort(root)
    assert {path.name for path in (root / "train").glob("[a-z]*")} == {*WNIDS[:2]}


def test_missing_files_and_disk_space_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [*range(len(WNIDS))] * COUNT
    write_devkit(root, [*labels, 0])
    with pytest.raises(DataError, match=rf"{VAL}: ILSVRC2012_val_00000013.JPEG is not there \(1 of 13 are not\)"):
        sort(root)
    (root / DEVKIT).unlink()
    with pytest.raises(
        DataError,
        match=f"^{root / DEVKIT} is needed, or LOC_val_solution.csv: it knows the classes of the validation images",
    ):
        sort(root)
    write_devkit(root, labels)
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
    wanted = f"^imagenet: .*train and .*val must hold a folder of images for every class: .*put {TRAIN}, {VAL} and"
    with pytest.raises(DataError, match=f"{wanted} {DEVKIT} there"):
        shutil.rmtree(root / "train", ignore_errors=True)
        (root / VAL).unlink()
        sort(root)


def test_names_in_archives_cannot_leave_the_folder(root: Path, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        add(archive, "../../../outside.JPEG", b"x")
        add(archive, "../../../._outside.JPEG", b"Mac OS X")
    with tarfile.open(root / TRAIN, "w") as tar:
        add(tar, "../n00000009.tar", inner.getvalue())
    sort(root)
    assert [*tmp_path.rglob("*outside*")] == [root / "train/n00000009/outside.JPEG"]
    for path in (root / "train", root / "val"):
        shutil.rmtree(path)
    for evil in ("./../../evil", "evil", "n0000000１"):  # the last has a digit that is not ASCII
        write_devkit(root, [*range(len(WNIDS))] * COUNT, [evil, *WNIDS[1:]])
        with pytest.raises(ConfigError, match=rf"wnid={evil}: allowed is n and eight digits"):
            sort(root)
    assert not [*tmp_path.rglob("*evil*")]


@pytest.mark.parametrize("meta", [b"", b"MATLAB 5.0 MAT-file", b"\x00" * 200])
def test_a_devkit_that_is_no_devkit_is_refused_by_name(meta: bytes, tmp_path: Path) -> None:
    for name in ("val", "train/n01440764"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"x")
    with tarfile.open(tmp_path / DEVKIT, "w:gz") as tar:
        add(tar, "kit/data/meta.mat", meta)
        add(tar, "kit/data/ILSVRC2012_validation_ground_truth.txt", b"1\n")
    with pytest.raises(DataError, match=rf"^{tmp_path / DEVKIT}: cannot be read: "):
        sort(tmp_path)

"""One set of photographs in every container: folders, archives, shards, tables."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import savemat
from webdataset import TarWriter

from helpers.photographs import CLASSES, WNIDS

LABEL = {"names": CLASSES, "_type": "ClassLabel"}
FEATURES = json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": LABEL}}})
"""Metadata by which datasets would decode the images."""
SOURCES = ("imagefolder", "imagenet", "webdataset", "parquet")


def images(tree: Path, part: str) -> list[tuple[int, Path]]:
    """Label and path of every image of a part in the order of folders."""
    folders = sorted((tree / part).iterdir())
    return [(label, path) for label, folder in enumerate(folders) for path in sorted(folder.iterdir())]


def pieces(tree: Path, part: str) -> list[list[tuple[int, Path]]]:
    every = images(tree, part)
    return [every[i : i + 12] for i in range(0, len(every), 12)]


def write_originals(tree: Path, root: Path) -> Path:
    """ImageNet's archives: a tar of tars, validation images without classes, and the devkit."""
    root.mkdir(parents=True)
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as tar:
        for wnid, folder in zip(WNIDS, sorted((tree / "train").iterdir()), strict=True):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for path in sorted(folder.iterdir()):
                    archive.add(path, path.name)
            add(tar, f"{wnid}.tar", inner.getvalue())
    shuffled = sorted(images(tree, "val"), key=lambda image: image[1].name)  # classes alternate
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as tar:
        for number, (_, path) in enumerate(shuffled, start=1):
            tar.add(path, f"ILSVRC2012_val_{number:08d}.JPEG")
    write_devkit(root, [label for label, _ in shuffled])
    return root


def write_devkit(root: Path, labels: list[int], wnids: Sequence[str] = WNIDS) -> None:
    """Ground truth with class numbers in reverse order; two synsets are not classes."""
    number = {label: len(wnids) - label for label in range(len(wnids))}
    synsets = [(number[i], name, 0) for i, name in enumerate(wnids)] + [(98, "n98", 3), (99, "n99", 2)]
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(synsets, dtype=kind).reshape(-1, 1)})
    truth = "".join(f"{number[label]}\n" for label in labels)
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode())


def write_solution(path: Path, wnids: Sequence[str]) -> None:
    """Kaggle's table of the validation images: one or two boxes each, the last image first."""
    rows = [f"ILSVRC2012_val_{n:08d},{wnid} 1 2 3 4{f' {wnid} 5 6 7 8' * (n % 2)}" for n, wnid in enumerate(wnids, 1)]
    path.write_text("\n".join(["ImageId,PredictionString", *reversed(rows)]) + "\n")


def write_shards(tree: Path, root: Path) -> Path:
    """Tars of at most 12 samples, by webdataset."""
    root.mkdir(parents=True)
    for part, word in (("train", "train"), ("val", "validation")):
        for k, some in enumerate(pieces(tree, part)):
            with TarWriter(str(root / f"photos-{word}-{k:04d}.tar")) as shard:
                for label, path in some:
                    key = f"{path.parent.name}_{path.stem}"
                    shard.write({"__key__": key, "cls": label, "jpg": path.read_bytes(), "json": {"label": label}})
    return root


def write_tables(tree: Path, root: Path) -> Path:
    """Tables of at most 12 rows laid out as imagenet-1k's, and one of images without a class."""
    (root / "data").mkdir(parents=True)
    for part, word in (("train", "train"), ("val", "validation"), ("val", "test")):
        every = pieces(tree, part)
        for k, some in enumerate(every):
            rows = [{"bytes": path.read_bytes(), "path": f"{path.parent.name}_{path.name}"} for _, path in some]
            labels = pa.array([label for label, _ in some], pa.int64())
            table = pa.table({"image": rows, "label": labels}).replace_schema_metadata({"huggingface": FEATURES})
            pq.write_table(table, root / "data" / f"{word}-{k:05d}-of-{len(every):05d}.parquet", row_group_size=5)
    return root


def write_every(tree: Path, root: Path) -> dict[str, list[str]]:
    """The tree in all four containers, with the options of each."""
    writers = {"originals": write_originals, "shards": write_shards, "tables": write_tables}
    roots = [tree, *(write(tree, root / name) for name, write in writers.items())]
    more = [f"data.cache={root / 'cache'}", f"data.num_classes={len(CLASSES)}"]
    return {source: [f"data={source}", f"data.root={at}", *more] for source, at in zip(SOURCES, roots, strict=True)}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file from memory to an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))

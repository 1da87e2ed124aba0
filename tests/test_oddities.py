"""The table of oddities in docs/data.md says what happens."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.containers import add
from helpers.photographs import small
from helpers.smoke import ROOT
from PIL import Image
from test_decoding import png16, tiff

from roadmap.data.loader import load
from roadmap.errors import ConfigError, DataError

SOURCES = ("imagenet", "imagefolder", "webdataset", "parquet")
WNIDS = ("n00000001", "n00000002")
Files = dict[str, bytes]  # PART/CLASS/NAME to content
CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (40, 40, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def images() -> Files:
    """Two images of two classes in both parts."""
    names = [f"{part}/{wnid}/{i}.jpg" for part in ("train", "val") for wnid in WNIDS for i in range(2)]
    return {name: encoded(Image.fromarray(PIXELS), "JPEG", quality=50 + i) for i, name in enumerate(names)}


IMAGES = images()
GREY16 = Image.fromarray(CHANCE.integers(0, 65536, (40, 40), dtype=np.uint16))
PHOTO = Image.fromarray(PIXELS)
CONTENT = {
    "16-bit grey": encoded(GREY16),
    "16-bit colour": png16(PIXELS.astype(np.uint16) * 257),
    "floats or 32-bit integers": tiff(PIXELS[..., 0].astype(np.float32)),
    "alpha channel": encoded(PHOTO.convert("RGBA")),
    "palette, under another format's name": encoded(PHOTO.quantize(9), "GIF"),
    "several frames": encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]),
    "truncated image": IMAGES["train/n00000001/0.jpg"][:500],
    "empty file": b"",
    "PostScript called .jpg": encoded(PHOTO, "EPS"),
}
"""Of one training image."""


def write(source: str, root: Path, files: Files) -> None:
    """Images in a container: in folders, or in a shard or table per part."""
    if source in ("imagenet", "imagefolder"):
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return
    root.mkdir(exist_ok=True)
    for part in ("train", "val"):
        own = {name: content for name, content in sorted(files.items()) if name.startswith(f"{part}/")}
        classes = [name.split("/")[1] for name in own]
        labels = [int(name) if name.isdecimal() else int(name[1:]) - 1 for name in classes]
        if source == "webdataset":
            with tarfile.open(root / f"{part}.tar", "w") as tar:
                for (name, content), label in zip(own.items(), labels, strict=True):
                    add(tar, name, content)
                    add(tar, f"{name.removesuffix('.jpg')}.cls", str(label).encode())
        else:
            rows = [{"bytes": content, "path": name} for name, content in own.items()]
            pq.write_table(pa.table({"image": rows, "label": pa.array(labels, pa.int64())}), root / f"{part}.parquet")


def beside(source: str, root: Path, name: str, content: bytes) -> None:
    """Add a file to the training images: in a class, to a sample, or as a column."""
    if source == "webdataset":
        with tarfile.open(root / "train.tar", "a") as tar:
            add(tar, f"train/{WNIDS[1]}/{name}", content)
    elif source == "parquet":
        table = pq.read_table(root / "train.parquet")
        pq.write_table(table.append_column(name, pa.array([content] * len(table))), root / "train.parquet")
    else:
        (root / "train" / WNIDS[0] / name).write_bytes(content)


def container(source: str, root: Path) -> tuple[Path, str]:
    """The place of whole files with images, and what their names end with."""
    ends = {"webdataset": "tar", "parquet": "parquet"}
    return (root, ends[source]) if source in ends else (root / "train" / WNIDS[0], "jpg")


def odd_text(source: str, root: Path) -> None:
    beside(source, root, "1.txt", b"no image")


def odd_hidden(source: str, root: Path) -> None:
    if source == "parquet":
        (root / "._train.parquet").write_bytes(b"Mac OS X")
    else:
        beside(source, root, "._1.jpg", b"Mac OS X")


def odd_link(source: str, root: Path) -> None:
    place, end = container(source, root)
    if end == "jpg":
        (place / "again").symlink_to(place.parent / WNIDS[1])
    else:
        (place / f"train-again.{end}").symlink_to(f"train.{end}")


def odd_pipe(source: str, root: Path) -> None:
    place, end = container(source, root)
    os.mkfifo(place / f"train-pipe.{end}")


def odd_no_class(source: str, root: Path) -> None:
    if source == "webdataset":
        beside(source, root, "2.jpg", IMAGES["train/n00000001/0.jpg"])
    elif source == "parquet":
        rows = [{"image": {"bytes": b"x", "path": "x"}, "label": label} for label in (0, 1, None)]
        pq.write_table(pa.Table.from_pylist(rows), root / "train.parquet")
    else:
        (root / "train" / "2.jpg").write_bytes(IMAGES["train/n00000001/0.jpg"])


def odd_numbers(source: str, root: Path) -> None:
    shutil.rmtree(root)
    first, second = ("2", "10") if source == "imagefolder" else ("0", "1")
    numbered = {name.replace(WNIDS[0], first).replace(WNIDS[1], second): IMAGES[name] for name in IMAGES}
    write(source, root, numbered)


def odd_classes(source: str, root: Path) -> None:
    shutil.rmtree(root)
    write(source, root, {name.replace("val/n00000002", "val/n00000003"): content for name, content in IMAGES.items()})


ODD: dict[str, Callable[[str, Path], None]] = {
    "text beside the images": odd_text,
    "hidden or a file manager's": odd_hidden,
    "reached twice through a link": odd_link,
    "a pipe or a device": odd_pipe,
    "image without a class": odd_no_class,
    "classes named by numbers": odd_numbers,
    "other classes in val": odd_classes,
}


def table() -> dict[str, dict[str, str]]:
    """What docs/data.md says of each oddity, by source."""
    section = (ROOT / "docs" / "data.md").read_text().partition("## Oddities")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {name: dict(zip(SOURCES, cells, strict=True)) for name, *cells in rows[2:]}


def test_the_table_has_sixteen_oddities_and_each_is_tried() -> None:
    assert [*table()] == [*CONTENT, *ODD] and len(table()) == 16


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("oddity", [*CONTENT, *ODD])
def test_what_the_table_says_happens(source: str, oddity: str, tmp_path: Path) -> None:
    root, said = tmp_path / "images", table()[oddity][source]
    write(source, root, IMAGES | ({"train/n00000001/1.jpg": CONTENT[oddity]} if oddity in CONTENT else {}))
    if oddity in ODD:
        ODD[oddity](source, root)
    words = [f"data={source}", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=2"]
    of = small([*words, "recipe.mixup_prob=0"])
    try:
        train, val = (load(of, train=part) for part in (True, False))
        for part in (train, val):
            next(part.batches([torch.arange(len(part))], seed=0))
    except (DataError, ConfigError) as error:
        assert said == "refused" and str(tmp_path) in str(error)
        return
    assert said != "refused" and len(train) == len(val) == 4 and train.labels.tolist() == [0, 0, 1, 1]
    assert bool(train.notes) == (said.startswith("skipped") or said.endswith("noted"))
    inside = "text" in oddity and source in ("webdataset", "parquet")  # a further file of a sample, or a column
    assert train.records is not None and bool(train.records.others) == (said == "not used" and not inside)

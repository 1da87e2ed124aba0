"""Images in parquet files as Hugging Face's datasets writes them: columns image, of bytes and a path, and label.

A parquet file cannot be entered at one image. datasets writes the tables out once into data.cache, as large as they
are, and maps them into memory from there; nothing is decoded by it, and nothing is asked of the network.
"""

import os
import sys
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig
from roadmap.data import records
from roadmap.errors import DataError


@dataclass(frozen=True)
class Parquet:
    """The images of some tables in the order of the files and their rows; see `records.Records`."""

    where: str
    table: Any
    """datasets.Dataset with the columns image and label."""
    files: list[str]
    ends: list[int]
    """Rows up to and including each file."""
    labels: Tensor
    troubles: list[str]
    others: list[str]
    classes: tuple[str, ...] = ()

    def name(self, place: int) -> str:
        """The file, the row in it and what the table calls the image."""
        file = bisect_right(self.ends, place)
        row = place - (self.ends[file - 1] if file else 0)
        return f"{self.files[file]}:{row}:{self.table[place]['image']['path'] or ''}".rstrip(":")

    def bare_names(self) -> Iterable[str]:
        """What the tables call the images; their bytes are not touched."""
        chunks = self.table.data.column("image").chunks
        return (f"{path or ''}" for chunk in chunks for path in chunk.field("path").to_pylist())

    def read(self, place: int) -> bytes:
        """The bytes in its row."""
        return self.table[place]["image"]["bytes"] or b""

    def unused(self) -> list[str]:
        """Tables of neither part, such as imagenet-1k's images without a class."""
        return self.others


def find(data: DataConfig, part: str) -> Parquet:
    """The images of a part, from its files in the order of their names.

    Raises:
        DataError: there are no files, none can be read, or they have other columns.
    """
    root = Path(data.root).expanduser()
    paths = records.files_of(root, part, "parquet")
    if not paths:
        raise DataError(f"{root}: no tables named *{part}*.parquet, there or in a folder there")
    files, rows, troubles = list[str](), list[int](), list[str]()
    footer = records.library("pyarrow.parquet", "parquet").read_metadata
    for path in paths:
        try:
            rows.append(footer(path).num_rows)
            files.append(str(path))
        except (OSError, ValueError) as error:
            troubles.append(f"{path}: cannot be read: {error}".splitlines()[0])
    if not files:
        raise DataError(troubles[0])
    table = _table(files, part, Path(data.cache).expanduser())
    used = {path for each in records.PARTS for path in records.files_of(root, each, "parquet")}
    return Parquet(
        where=f"{part} of {root}",
        table=table,
        files=files,
        ends=list(accumulate(rows)),
        labels=torch.tensor(table.data.column("label").fill_null(-1).to_numpy(), dtype=torch.int64),
        troubles=troubles,
        others=[str(path) for path in records.every_file(root, "parquet") if path not in used],
    )


def _table(files: list[str], part: str, cache: Path) -> Any:
    """The files as one table, its images encoded still.

    Raises:
        DataError: they cannot be read, or written out.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the import
    datasets = records.library("datasets", "parquet")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    image = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"image": image, "label": datasets.Value("int64")})
    try:
        return datasets.Dataset.from_parquet(
            files, split=part, cache_dir=str(cache), columns=["image", "label"], features=features
        )
    except Exception as error:  # of pyarrow, datasets or the disk, wrapped in one another
        cause = error.__cause__ or error
        needed = "tables with columns image (bytes, path) and label (integer) are needed"
        raise DataError(f"{Path(files[0]).parent}: {needed}: {cause}".splitlines()[0]) from error

"""Images in parquet files as Hugging Face's datasets writes them: columns image (bytes, path) and label.

A parquet file has no random access to single rows. datasets writes the tables out once to data.cache, at their full
size, and maps them into memory from there. It decodes nothing and does not use the network.
"""

import json
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from roadmap.config.schema import DataConfig
from roadmap.data import records
from roadmap.errors import DataError, shortage
from roadmap.files import refuse_links


@dataclass(frozen=True, kw_only=True)
class Parquet(records.Records):
    """The images of some tables in the order of files and rows."""

    table: Any  # datasets.Dataset with the columns image and label
    files: list[str]
    ends: list[int]  # rows up to and including each file

    def name(self, i: int) -> str:
        file = bisect_right(self.ends, i)
        row = i - (self.ends[file - 1] if file else 0)
        return f"{self.files[file]}:{row}:{(self.table[i]['image'] or {}).get('path') or ''}".rstrip(":")

    def relative_names(self) -> Iterable[str]:
        """Paths in the tables, read without the images' bytes."""
        chunks = self.table.data.column("image").chunks
        return (f"{path or ''}" for chunk in chunks for path in chunk.field("path").to_pylist())

    def read(self, i: int) -> bytes:
        return (self.table[i]["image"] or {}).get("bytes") or b""  # null: an image that cannot be read


def find(data: DataConfig, part: str) -> Parquet:
    """`records.find`, in the order of files and rows; a DataError if no file can be read or they have other columns."""
    root = Path(data.root).expanduser()
    paths = records.files_by_part(root, "parquet")
    if not paths[part]:
        raise DataError(f"{root}: no tables named *{part}*.parquet, there or in a folder there")
    files, rows, errors = list[str](), list[int](), list[str]()
    read_metadata = records.library("pyarrow.parquet", "parquet").read_metadata
    classes: Sequence[str] = ()
    for path in paths[part]:
        try:
            metadata = read_metadata(path)
        except (OSError, ValueError) as error:
            errors.append(f"{path}: cannot be read: {error}".splitlines()[0])
            continue
        rows.append(metadata.num_rows)
        files.append(str(path))
        names = _label_names(metadata.metadata or {})
        records.refuse_other_classes(classes, names, where=str(path), of=files[0])
        classes = classes or names
    if not files:
        raise DataError(errors[0])
    table = _table(files, part, Path(data.cache).expanduser())
    return Parquet(
        where=f"{part} of {root}",
        table=table,
        files=files,
        ends=list(accumulate(rows)),
        labels=torch.tensor(table.data.column("label").fill_null(-1).to_numpy(), dtype=torch.int64),
        classes=classes,
        errors=errors,
        others=[str(path) for path in paths[""]],
    )


def class_names(data: DataConfig, part: str) -> list[str]:
    """`records.class_names`, from the first table that can be read."""
    read_metadata = records.library("pyarrow.parquet", "parquet").read_metadata
    for path in records.files_by_part(Path(data.root).expanduser(), "parquet")[part]:
        with suppress(OSError, ValueError):
            return _label_names(read_metadata(path).metadata or {})
    return []


def _label_names(metadata: Mapping[bytes, bytes]) -> list[str]:
    """Names of the classes as datasets writes them beside a column of labels; empty if there are none."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (LookupError, ValueError, TypeError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _table(files: list[str], part: str, cache: Path) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import
    datasets = records.library("datasets", "parquet")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    image = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"image": image, "label": datasets.Value("int64")})
    for place in (cache / "parquet", *cache.glob("*.lock")):
        refuse_links(place)
    try:
        return datasets.Dataset.from_parquet(
            files, split=part, cache_dir=str(cache), columns=["image", "label"], features=features
        )
    except Exception as error:  # pyarrow's, datasets' or the disk's, wrapped in one another
        if shortage(error):
            raise
        cause = error.__cause__ or error
        needed = "tables with columns image (bytes, path) and label (integer) are needed"
        raise DataError(f"{Path(files[0]).parent}: {needed}: {cause}".splitlines()[0]) from error

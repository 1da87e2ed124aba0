"""Images in tar archives as webdataset writes them, <key>.jpg and <key>.cls, as local files or under URLs.

webdataset itself reads shards as streams, in an order that depends on the workers. Here it only expands names of
shards, downloads them and groups files to samples. The offset of each image is indexed once, so that images are read
one by one and an epoch has the same order and the same bits as from folders.
"""

import contextlib
import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import urlsplit

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig
from roadmap.config.values import Range, conform
from roadmap.data import records
from roadmap.data.archives import meant_member, regular_files
from roadmap.data.folders import EXTENSIONS, HIDDEN
from roadmap.errors import ConfigError, DataError, Locked, first_names, require
from roadmap.files import lock, refuse_links, write_atomic

SCHEMES = ("http", "https", "gs")
FORMAT = 2  # of the index in data.cache
Sample = tuple[str, int, int, int]  # name inside the shard, offset, bytes, label
Number = Annotated[int, Range(0, 2**62)]
INDEX = tuple[list[tuple[str, Number, Number, Number]], list[str], list[str]]


@dataclass(frozen=True, kw_only=True)
class Shards(records.Records):
    """The images of some shards in the order of the shards and of the files there."""

    shards: list[str]
    names: list[str]
    spans: Tensor  # (N, 3) int64: index of the shard, offset, bytes

    def name(self, i: int) -> str:
        return f"{self.shards[int(self.spans[i, 0])]}:{self.names[i]}"

    def relative_names(self) -> Iterable[str]:
        """Names inside the shards, with the size of each file."""
        return (f"{name}:{size}" for name, size in zip(self.names, self.spans[:, 2].tolist(), strict=True))

    def read(self, i: int) -> bytes:
        shard, offset, size = self.spans[i].tolist()
        with Path(self.shards[shard]).open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)


def find(data: DataConfig, part: str) -> Shards:
    """`records.find`; shards under URLs are downloaded to data.cache first, or a DataError says why they cannot be."""
    cache = Path(data.cache).expanduser()
    here = records.files_by_part(Path(data.root).expanduser(), "tar")
    paths = [_local(url, cache) for url in urls(data, part, here)]
    indexes = [_index(path, cache / "index") for path in paths]
    found = [(shard, *sample) for shard, (samples, *_) in enumerate(indexes) for sample in samples]
    return Shards(
        where=f"{part} of {data.root}",
        shards=[str(path) for path in paths],
        names=[name for _, name, *_ in found],
        spans=torch.tensor([(shard, offset, size) for shard, _, offset, size, _ in found]).view(-1, 3),
        labels=torch.tensor([label for *_, label in found], dtype=torch.int64),
        errors=[error for _, errors, _ in indexes for error in errors],
        notes=[
            f"{path}: skipped, {HIDDEN}: {first_names(hidden)}"
            for path, (*_, hidden) in zip(paths, indexes, strict=True)
            if hidden
        ],
        others=[str(path) for path in here[""] if path not in paths],
    )


def class_names(_data: DataConfig, _part: str) -> list[str]:
    """`records.class_names`: shards have numbers only."""
    return []


def urls(data: DataConfig, part: str, here: Mapping[str, Sequence[Path]]) -> list[str]:
    """Paths or URLs of the shards of a part: those in data.train or data.val, else the files in data.root."""
    pattern, needed = data.train if part == "train" else data.val, f"no shards named *{part}*.tar"
    if pattern is None and not here[part]:
        raise DataError(f"{data.root}: {needed}; or set data.{part}=names or URLs, with {{0..9}}")
    if pattern is None:
        return [str(path) for path in here[part]]
    expand = records.library("webdataset.shardlists", "webdataset").expand_urls
    allowed = f"names, or URLs of {' '.join(SCHEMES)}, with {{000..146}} for many"
    try:
        base = data.root if urlsplit(data.root).scheme else str(Path(data.root).expanduser())
        whole = [
            url if urlsplit(url).scheme or url.startswith("/") else f"{base.rstrip('/')}/{url}"
            for url in expand(pattern)
        ]
        parts = [urlsplit(url) for url in whole]
    except (AssertionError, ValueError) as error:  # ValueError: a malformed URL
        raise ConfigError(f"data.{part}={pattern}: allowed is {allowed}: {error}") from error
    for at in parts:  # webdataset would run what follows pipe:
        require(at.scheme in ("", *SCHEMES), f"data.{part}", pattern, allowed)
        require(not at.scheme or bool(at.netloc), f"data.{part}", pattern, f"{allowed}, with a host")
    return whole


def _local(url: str, cache: Path) -> Path:
    at = urlsplit(url)
    if not at.scheme:
        if not Path(url).is_file():
            raise DataError(f"{url}: no such shard")
        return Path(url)
    path = cache / "shards" / at.netloc / at.path.lstrip("/")
    if ".." in path.relative_to(cache).parts:
        raise ConfigError(f"{url}: allowed is a URL without '..', since its parts become folders of data.cache")
    if path.is_file():
        return path
    download = records.library("webdataset.cache", "webdataset").download
    try:
        with lock(path.parent, wait=600.0):
            refuse_links(path.parent)
            try:
                if not path.is_file():
                    print(f"webdataset: fetching {url}", flush=True)
                    download(url, str(path))  # under a temporary name until complete
            finally:
                for leftover in path.parent.glob("*.temp*"):
                    leftover.unlink()
    except (OSError, Locked) as error:
        raise DataError(f"{url}: cannot be fetched to {path}: {error}") from error
    return path


def _index(shard: Path, folder: Path) -> tuple[list[Sample], list[str], list[str]]:
    """The samples of a shard, its errors, and files that are not meant; from a file in `folder` if nothing changed."""
    state = shard.stat()
    known = repr((FORMAT, str(shard.absolute()), state.st_size, state.st_mtime_ns)).encode()
    kept = folder / f"{shard.stem}-{hashlib.blake2b(known, digest_size=8).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, RecursionError):  # missing, damaged or wrong
        conform(read := json.loads(kept.read_text()), INDEX, kept.name)
        listed, complaints, hidden = read
        return [(name, offset, size, label) for name, offset, size, label in listed], complaints, hidden
    samples, errors, hidden = list[Sample](), list[str](), list[str]()

    def files(tar: tarfile.TarFile) -> Iterator[dict[str, Any]]:
        for member in regular_files(tar):
            if meant_member(member.name):
                yield {"fname": member.name, "data": member, "__url__": ""}
            else:
                hidden.append(member.name)

    group = records.library("webdataset.tariterators", "webdataset").group_by_keys
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as stream:
            for grouped in group(files(tar)):
                sample = _sample(grouped, f"{shard}:{grouped['__key__']}", stream)
                errors.append(sample) if isinstance(sample, str) else samples.append(sample)
    except (tarfile.TarError, OSError) as error:
        errors.append(f"{shard}: cannot be read: {error}")
    except ValueError as error:  # a duplicate name
        errors.append(f"{shard}: {error.args[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, json.dumps([samples, errors, hidden]))
    return samples, errors, hidden


def _sample(sample: dict[str, Any], name: str, stream: BinaryIO) -> Sample | str:
    """One sample from its files by extension, or what is wrong with it. Nothing is unpickled."""
    files = {ending: member for ending, member in sample.items() if isinstance(member, tarfile.TarInfo)}
    images = [member for ending, member in files.items() if f".{ending}".endswith(EXTENSIONS)]
    there = " ".join(f".{ending}" for ending in files)
    if len(images) != 1 or "cls" not in files:
        return f"{name}: one image (.jpg, .png, ...) and its class (.cls) are needed, there is {there}"
    stream.seek(files["cls"].offset_data)
    text = stream.read(min(files["cls"].size, 20)).decode("ascii", "replace").strip()
    if not re.fullmatch(r"\d{1,6}", text) or files["cls"].size > 20:
        return f"{name}.cls: allowed is a number from 0 to 999999, not {text!r}"
    return images[0].name, images[0].offset_data, images[0].size, int(text)

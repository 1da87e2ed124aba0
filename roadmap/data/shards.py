"""Images in tar archives as webdataset writes them, <key>.jpg beside <key>.cls, here or under URLs.

webdataset itself reads shards as streams, whose order depends on the workers. Here it says which shards there are,
fetches those of URLs and groups a shard's files to samples; where each image begins is noted once, so that any of
them is read on its own, and an epoch has the same order and the same bits as from folders.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import Tensor

from roadmap.config.schema import DataConfig
from roadmap.data import records, shard_index
from roadmap.errors import ConfigError, DataError, Locked, require
from roadmap.files import lock

SCHEMES = ("http", "https", "gs")
LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Shards:
    """The images of some shards in the order of the shards and of their places there; see `records.Records`."""

    where: str
    shards: list[str]
    names: list[str]
    spans: Tensor
    """(N, 3) int64: shard, first byte, bytes."""
    labels: Tensor
    troubles: list[str]
    others: list[str]
    classes: tuple[str, ...] = ()

    def name(self, place: int) -> str:
        """The shard's path, and the name inside."""
        return f"{self.shards[int(self.spans[place, 0])]}:{self.names[place]}"

    def bare_names(self) -> Iterable[str]:
        """The names inside the shards, and how many bytes each has."""
        return (f"{name}:{size}" for name, size in zip(self.names, self.spans[:, 2].tolist(), strict=True))

    def read(self, place: int) -> bytes:
        """The member of the archive."""
        shard, first, size = self.spans[place].tolist()
        with Path(self.shards[shard]).open("rb") as stream:
            stream.seek(first)
            return stream.read(size)

    def unused(self) -> list[str]:
        """Archives of neither part."""
        return self.others


def find(data: DataConfig, part: str) -> Shards:
    """The images of a part; shards under URLs are fetched into data.cache first, those already there are not.

    Raises:
        DataError: there are no shards, or they cannot be fetched.
        ConfigError: data.train or data.val is no list of shards.
    """
    cache = Path(data.cache).expanduser()
    paths = [_local(url, cache) for url in urls(data, part)]
    samples = [shard_index.index(path, cache / "index") for path in paths]
    found = [(i, *sample) for i, (listed, _) in enumerate(samples) for sample in listed]
    root = Path(data.root).expanduser()
    used = {path for each in records.PARTS for path in records.files_of(root, each, "tar")} | {*paths}
    return Shards(
        where=f"{part} of {data.root}",
        shards=[str(path) for path in paths],
        names=[name for _, name, *_ in found],
        spans=torch.tensor([(shard, first, size) for shard, _, first, size, _ in found]).view(-1, 3),
        labels=torch.tensor([label for *_, label in found], dtype=torch.int64),
        troubles=[trouble for _, troubles in samples for trouble in troubles],
        others=[str(path) for path in records.every_file(root, "tar") if path not in used],
    )


def urls(data: DataConfig, part: str) -> list[str]:
    """Paths and URLs of a part's shards.

    Raises:
        DataError, ConfigError: see `find`.
    """
    pattern = data.train if part == "train" else data.val
    if pattern is None:
        found = records.files_of(Path(data.root).expanduser(), part, "tar")
        if not found:
            raise DataError(
                f"{data.root}: no shards named *{part}*.tar; or say data.{part}=names or URLs, with {{0..9}}"
            )
        return [str(path) for path in found]
    expand = records.library("webdataset.shardlists", "webdataset").expand_urls
    base = data.root if urlsplit(data.root).scheme else str(Path(data.root).expanduser())
    allowed = f"names, or URLs of {' '.join(SCHEMES)}, with {{000..146}} for many"
    try:
        expanded = expand(pattern)
    except (AssertionError, ValueError) as error:
        raise ConfigError(f"data.{part}={pattern}: allowed is {allowed}: {error}") from error
    whole = [url if urlsplit(url).scheme or url.startswith("/") else f"{base.rstrip('/')}/{url}" for url in expanded]
    for url in whole:  # webdataset would run what follows pipe:
        require(urlsplit(url).scheme in ("", *SCHEMES), f"data.{part}", pattern, allowed)
    return whole


def _local(url: str, cache: Path) -> Path:
    """A shard's path here.

    Raises:
        DataError: it is neither here nor to be had.
    """
    at = urlsplit(url)
    if not at.scheme:
        if not Path(url).is_file():
            raise DataError(f"{url}: no such shard")
        return Path(url)
    path = cache / "shards" / at.netloc / at.path.lstrip("/")
    if path.is_file():
        return path
    download = records.library("webdataset.cache", "webdataset").download
    try:
        with lock(path.parent, wait=LOCK_SECONDS):
            try:
                if not path.is_file():
                    print(f"webdataset: fetching {url}", flush=True)
                    download(url, str(path))  # under another name until it is whole
            finally:
                for leftover in path.parent.glob("*.temp*"):
                    leftover.unlink()
    except (OSError, Locked) as error:
        raise DataError(f"{url}: cannot be fetched to {path}: {error}") from error
    return path

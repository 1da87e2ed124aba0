"""Images in tar archives as webdataset writes them, <key>.jpg and <key>.cls, as local files or under URLs.

webdataset itself reads shards as streams, in an order that depends on the workers. Here it only expands names of
shards, downloads them and groups files to samples. The offset of each image is indexed once, so that images are read
one by one and an epoch has the same order and the same bits as from folders.
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
    """The images of a part. Shards under URLs are downloaded to data.cache first, unless they are there already.

    Raises:
        DataError: there are no shards, or they cannot be downloaded.
        ConfigError: data.train or data.val is not a list of shards.
    """
    root, cache = Path(data.root).expanduser(), Path(data.cache).expanduser()
    paths = [_local(url, cache) for url in urls(data, part)]
    indexes = [shard_index.index(path, cache / "index") for path in paths]
    found = [(shard, *sample) for shard, (samples, _) in enumerate(indexes) for sample in samples]
    return Shards(
        where=f"{part} of {data.root}",
        shards=[str(path) for path in paths],
        names=[name for _, name, *_ in found],
        spans=torch.tensor([(shard, offset, size) for shard, _, offset, size, _ in found]).view(-1, 3),
        labels=torch.tensor([label for *_, label in found], dtype=torch.int64),
        errors=[error for _, errors in indexes for error in errors],
        others=records.other_files(root, "tar", used=paths),
    )


def urls(data: DataConfig, part: str) -> list[str]:
    """Paths or URLs of the shards of a part."""
    pattern = data.train if part == "train" else data.val
    if pattern is None:
        found = records.files_of(Path(data.root).expanduser(), part, "tar")
        if not found:
            raise DataError(
                f"{data.root}: no shards named *{part}*.tar; or set data.{part}=names or URLs, with {{0..9}}"
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
    """The local path of a shard, downloaded if need be."""
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
                    download(url, str(path))  # under a temporary name until complete
            finally:
                for leftover in path.parent.glob("*.temp*"):
                    leftover.unlink()
    except (OSError, Locked) as error:
        raise DataError(f"{url}: cannot be fetched to {path}: {error}") from error
    return path

"""Make the data of a configuration ready, whatever that takes; no torch where it takes none."""

from pathlib import Path
from typing import Any

from roadmap.config.checks import IN_MEMORY
from roadmap.config.schema import DataConfig
from roadmap.data.fetch import SHARDED, fetch
from roadmap.errors import DataError


def listed(data: DataConfig) -> dict[str, Any] | None:
    """The fingerprint of what lies there now, for comparison with that of a run; see `roadmap.data.fingerprint`.

    Raises:
        DataError, ConfigError: it cannot be listed.
    """
    if data.name in IN_MEMORY:
        return None
    from roadmap.data import fingerprint  # torch, for those who need it

    return fingerprint.listed(data)


def prepare(data: DataConfig) -> None:
    """Fetch what is missing, sort archives, note where in shards images begin, write tables out; and say so on stdout.

    Raises:
        DataError: the data cannot be had, or something is wrong with a part as a whole.
        ConfigError: data.train or data.val is no list of shards.
    """
    if data.name.value not in SHARDED:
        return fetch(data.name.value, Path(data.root))
    from roadmap.data import datasets as catalog  # torch, for those who need it

    for part in ("train", "val"):
        found = catalog.find(data, part)
        if found.troubles:
            raise DataError(found.troubles[0])
        print(f"{data.name.value}: {len(found.labels):,} images for {part}", flush=True)

"""What tells one set of files from another, where the name of a data set does not: numbers, and a hash of its names.

Not of what is in the images: that would be to read them all. A resized copy has the fingerprint of its originals,
unless files were left out of it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from roadmap.config.schema import DataConfig, Dataset
from roadmap.data import datasets as catalog
from roadmap.data.records import PARTS, Records

UNTOLD = (Dataset.imagefolder, Dataset.webdataset, Dataset.parquet)
"""Data sets that may be any images."""


def fingerprint(found: Mapping[str, Records]) -> dict[str, Any]:
    """Of each part: images, classes, and a hash of labels and names in their order, wherever the files lie."""
    return {part: _of_part(records) for part, records in found.items()}


def listed(data: DataConfig) -> dict[str, Any] | None:
    """The fingerprint of what lies there now; None for a data set that its name tells.

    Raises:
        DataError, ConfigError: see `catalog.find`.
    """
    return fingerprint({part: catalog.find(data, part) for part in PARTS}) if data.name in UNTOLD else None


def _of_part(records: Records) -> dict[str, Any]:
    names = hashlib.blake2b(records.labels.numpy().tobytes(), digest_size=8)
    for name in records.bare_names():
        names.update(f"{name}\0".encode(errors="surrogateescape"))
    return {
        "images": len(records.labels),
        "classes": len(records.classes) or len(records.labels.unique()),
        "names": names.hexdigest(),
    }

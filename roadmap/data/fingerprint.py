"""Fingerprint of image files: for each part the counts of images and classes, and a hash of labels and names in order.

Pixels and the location of the files do not count: a resized copy has the fingerprint of its source, unless files were
left out of it.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from roadmap.config.schema import DataConfig
from roadmap.data import records
from roadmap.data.datasets import dataset

if TYPE_CHECKING:
    from roadmap.data.loader import Part


def fingerprint(training: "Part", test: "Part") -> dict[str, Any] | None:
    """The fingerprint of the image files that a run trains and tests on; None for images held in memory."""
    if training.records is None or test.records is None:
        return None
    return {"train": _of_part(training.records), "val": _of_part(test.records)}


def listed(data: DataConfig) -> dict[str, Any] | None:
    """The fingerprint of the files on disk now; None for data sets that their name identifies."""
    return None if dataset(data.name).named else {part: _of_part(records.find(data, part)) for part in records.PARTS}


def _of_part(part: records.Records) -> dict[str, Any]:
    digest = hashlib.blake2b(part.labels.numpy().tobytes(), digest_size=8)
    for name in part.relative_names():
        digest.update(f"{name}\0".encode(errors="surrogateescape"))
    return {
        "images": len(part.labels),
        "classes": len(part.classes) or len(part.labels.unique()),
        "names": digest.hexdigest(),
    }

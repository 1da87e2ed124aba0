"""What results keep of the answers on test images (`roadmap.evals.accuracy.stored`), read without torch."""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from roadmap.errors import require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Result = Mapping[str, Any]


def right(result: Result, name: str = "top1") -> "npt.NDArray[np.bool_] | None":
    """Whether the first guess for each test image (N,), in their order, is right; None if the result is older.

    `name`: `top1` for the raw weights, `ema_top1` for their average.
    """
    import numpy as np

    text = _kept(result, "right", {}).get(name)
    if text is None:
        return None
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8))
    return bits[: result["test_images"]].astype(bool)


def confusion(result: Result) -> list[list[int]] | None:
    """Test images (K, K) by true and by predicted class, raw weights; None with many classes or in older results."""
    return _rows(result, "confusion")


def by_class(result: Result) -> list[list[int]] | None:
    """For each class (K, 2) its test images that are right and all of them, raw weights; None in older results."""
    matrix = confusion(result)
    return [[row[i], sum(row)] for i, row in enumerate(matrix)] if matrix else _rows(result, "by_class")


def refuse_other_counts(result: Result, where: str) -> None:
    """Refuse answers that are not those of the result's counts and classes (ConfigError)."""
    images, counts, classes = result["test_images"], result["counts"], result["config"]["data"]["num_classes"]
    for name, text in _kept(result, "right", {}).items():
        key, wanted = f"{where}.right.{name}", f"a bit for each of {images} images, {counts.get(name)} of them set"
        try:
            bits = base64.b64decode(text)
        except binascii.Error:
            bits = b""
        sound = len(bits) == -(-images // 8) and int.from_bytes(bits).bit_count() == counts.get(name)
        require(sound, key, text[:20], wanted)
    for key, width in (("confusion", classes), ("by_class", 2)):
        rows = _rows(result, key)
        if rows is None:
            continue
        shape = f"{classes} rows of {width} numbers"
        require(len(rows) == classes and all(len(row) == width for row in rows), f"{where}.{key}", "", shape)
        total, stated = [sum(column) for column in zip(*by_class(result) or [], strict=True)], [counts["top1"], images]
        require(total == stated, f"{where}.{key}", total, f"{stated}, as in counts and test_images")


def _kept(result: Result, key: str, without: Any = None) -> Any:
    return (result.get("answers") or {}).get(key) or without


def _rows(result: Result, key: str) -> list[list[int]] | None:
    rows = _kept(result, key)
    return [[int(number) for number in row.split(" ")] for row in rows] if rows else None

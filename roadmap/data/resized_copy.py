"""A resized copy of an image tree: how one file is made and checked, and what the copy says of itself.

An image is resized as evaluation does it: bicubic, the short side to N pixels, the long side rounded down. It is stored
as JPEG (RGB, 4:2:0) without metadata, which training does not look at. A JPEG (RGB or grey) that is no larger is copied
byte for byte. Needs no torch: many processes import it.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from roadmap.errors import DataError, require
from roadmap.files import LOCK, write_atomic

MANIFEST = "resized.json"


@dataclass(frozen=True)
class Resized:
    """What a copy is, as it lies in its manifest."""

    source: str
    short_side: int
    """Pixels; smaller images stay as they are."""
    quality: int
    """Of JPEG, 1 to 95."""
    parts: tuple[str, ...]
    """Those that are resized; the others are links to the originals."""
    images: int | None = None
    """Images in these parts; None: the copy is not finished."""
    unreadable: tuple[str, ...] = ()
    """Files, relative to source, that cannot be read and are not in the copy."""

    def __str__(self) -> str:
        left_out = f", without {len(self.unreadable)} files that cannot be read" if self.unreadable else ""
        return f"{' and '.join(self.parts)}: short side {self.short_side}, quality {self.quality}{left_out}"


def read_manifest(root: Path) -> Resized | None:
    """What the copy in root is; None where root is no copy.

    Raises:
        DataError: the manifest is damaged, or out of reach.
    """
    path = root / MANIFEST
    try:
        read: dict[str, Any] = json.loads(path.read_text())
        fields: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
        return Resized(**fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged: {error}") from error


def finished_copy(root: Path) -> Resized | None:
    """`read_manifest`, for those who want to use the copy.

    Raises:
        DataError: the manifest is damaged, or says that the copy is not finished.
    """
    manifest = read_manifest(root)
    if manifest and manifest.images is None:
        raise DataError(f"{root}: a resized copy that is not finished: run scripts/prepare.py again")
    return manifest


def refuse_another(root: Path, manifest: Resized) -> None:
    """See that root holds nothing, or what was made of this copy so far.

    Raises:
        ConfigError: something else lies there, or another copy.
        DataError: it cannot be looked into, or its manifest is damaged.
    """
    before = read_manifest(root)
    try:
        strange = sorted(path.name for path in root.iterdir() if path.name != LOCK) if root.exists() else []
    except OSError as error:
        raise DataError(f"{root}: {error.strerror}") from error
    allowed = f"an empty folder or a copy begun before: {strange[0] if strange else ''} there would be mixed with it"
    require(before is not None or not strange, "to", root, allowed)
    for key in ("source", "short_side", "quality", "parts"):
        there, wanted = getattr(before or manifest, key), getattr(manifest, key)
        require(there == wanted, key, wanted, f"{there} in {root}, which holds that copy; choose another place")


def write_manifest(root: Path, manifest: Resized) -> None:
    """Write what a copy is."""
    write_atomic(root / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")


def shrunk(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with the short side at most so long, the ratio kept."""
    short = min(size)
    if short <= short_side:
        return size
    width, height = (short_side if side == short else int(short_side * side / short) for side in size)
    return width, height


def make_file(source: Path, target: Path, short_side: int, quality: int) -> str | None:
    """Make one file of a copy and decode it, unless it is there and whole; returns why it cannot be had, if so."""
    try:
        with Image.open(source) as image:
            small = image.format == "JPEG" and image.mode in ("RGB", "L") and min(image.size) <= short_side
            size = shrunk(image.size, short_side)
            if sound(target, size):
                return None
            image.load()
            content = source.read_bytes() if small else encoded(image, size, quality)
    except Exception as error:  # Pillow's decoders raise nearly anything; every one of them is the file's
        return f"{source}: cannot be read: {error}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, content)
    if not sound(target, size):
        target.unlink()
        return f"{source}: cannot be read: its copy is not an image of {size[0]}x{size[1]}"
    return None


def encoded(image: Image.Image, size: tuple[int, int], quality: int) -> bytes:
    """An image at a size (width, height) as JPEG."""
    whole = image.convert("RGB")
    resized = whole if whole.size == size else whole.resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    resized.save(stream, "JPEG", quality=quality, subsampling="4:2:0", exif=b"", comment=b"")
    return stream.getvalue()


def sound(path: Path, size: tuple[int, int]) -> bool:
    """Whether a file is a whole JPEG of this size."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.format == "JPEG" and image.size == size
    except Exception:  # as above
        return False

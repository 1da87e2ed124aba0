"""One encoded image to 8-bit RGB: the same for training, evaluation, data-check and resized copies.

| pixels | outcome |
|---|---|
| up to 8 bits per channel: grey, RGB, CMYK, YCbCr, palette | converted by Pillow, as by torchvision and timm |
| alpha channel, transparent colours of a palette | dropped, as by torchvision and timm: the colours beneath are used |
| grey of 16 bits (12 bits) | scaled by 1/257 (255/4095) and rounded |
| colour of 16 bits | the high byte of each value, as Pillow reads it: less than one level from 1/257 |
| 32-bit integers, floats, signed numbers, CIE Lab | refused, because their range or meaning is not known |
| several frames | the first one |

Imports no torch, since processes that resize images import it.
"""

import errno
import io
from pathlib import Path

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
"""Of images, whatever their files are called: Pillow would start Ghostscript for PostScript."""
REFUSED = {"I": "32-bit integers", "F": "floating-point numbers", "LAB": "CIE Lab colours"}
"""Modes of Pillow that it would convert by clipping, or not at all."""
THROUGH = {"P": "RGBA", "La": "LA"}
"""Modes that become RGB through another one; of transparent colours in a palette Pillow would warn."""
UNSIGNED, WHITE_IS_ZERO = (1,), 0  # values of TIFF's tags


def open_image(encoded: bytes | Path) -> Image.Image:
    """Open an encoded image, or the file of one, without decoding it; may raise any type of error, see `reason`."""
    source, size = (
        (encoded, encoded.stat().st_size) if isinstance(encoded, Path) else (io.BytesIO(encoded), len(encoded))
    )
    if not size:
        raise ValueError("it is empty")
    return Image.open(source, formats=FORMATS)


def as_rgb(image: Image.Image) -> Image.Image:
    """Decode an opened image to 8-bit RGB; a ValueError for pixels that are refused."""
    mode, tags = image.mode, getattr(image, "tag_v2", {})
    scaled = image.format == "PPM" and mode == "I"  # Pillow has scaled its grey to 16 bits
    unsigned = {*tags.get(TiffImagePlugin.SAMPLEFORMAT, UNSIGNED)} == {*UNSIGNED}
    if not scaled and (mode in REFUSED or not unsigned):
        kind = REFUSED.get(mode, "") if unsigned or mode == "F" else "signed integers"
        raise ValueError(f"{kind} (mode {mode}): allowed are 8 or 16 bits per channel, without sign, grey or colour")
    if scaled or mode.startswith("I;16"):
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
        white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
        image = _grey(image, bits, white_is_zero=white_is_zero)
    if mode in THROUGH:
        image = image.convert(THROUGH[mode])
    return image.convert("RGB")


def _grey(image: Image.Image, bits: int, *, white_is_zero: bool) -> Image.Image:
    """Grey of up to 16 bits as grey of 8 bits, rounded."""
    import numpy as np

    most = 2**bits - 1
    levels = (np.asarray(image).astype(np.int64) * 255 + most // 2) // most
    return Image.fromarray((255 - levels if white_is_zero else levels).astype(np.uint8))


def reason(error: Exception) -> str:
    """Why an image cannot be read, without object addresses, which change from run to run."""
    unidentified = isinstance(error, UnidentifiedImageError)
    return f"cannot be read: {'cannot identify image file' if unidentified else error}"


def raise_shortage(error: Exception, name: str) -> None:
    """Raise a MemoryError if an image could not be decoded for want of memory, which says nothing about the image."""
    short = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if short or "out of memory" in str(error):  # Pillow's own decoders
        raise MemoryError(f"while {name} was decoded") from error

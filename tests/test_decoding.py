"""Encoded images become 8-bit RGB with the right values, whatever their pixels are, or are refused."""

import errno
import gc
import io
import multiprocessing
import os
import re
import signal
import struct
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tifffile
import torch
from helpers.photographs import on_folders, plant
from helpers.smoke import inside
from PIL import Image

from roadmap import cli
from roadmap.data import image_files
from roadmap.data.decoding import as_rgb, open_image
from roadmap.data.loader import load
from roadmap.data.resize import encode
from roadmap.errors import DataError, shortage
from roadmap.training.run import reason

CHANCE = np.random.default_rng(0)
GREY16 = (np.arange(3072).reshape(48, 64) * 21).astype("uint16")
GREY8 = np.rint(GREY16 / 257).astype("uint8")
RGB = CHANCE.integers(0, 256, (48, 64, 3), dtype=np.uint8)
ALPHA = CHANCE.integers(0, 256, (48, 64, 1), dtype=np.uint8)
PIXELS = Image.fromarray(RGB)


@pytest.fixture
def no_workers_left() -> Iterator[None]:
    """Torch would find the workers of a failed epoch only when they are collected, and wait seconds for each."""
    yield
    handler = signal.getsignal(signal.SIGCHLD)
    image_files.end_workers()
    gc.collect()
    signal.signal(signal.SIGCHLD, handler)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pgm(values: np.ndarray, most: int) -> bytes:
    """Grey in PGM, two bytes per value."""
    return f"P5 {values.shape[1]} {values.shape[0]} {most}\n".encode() + values.astype(">u2").tobytes()


def tiff(values: np.ndarray, kind: str = "minisblack") -> bytes:
    """Numbers of any type (H, W) or (H, W, C) in TIFF."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric=kind)
    return stream.getvalue()


def tiff12(values: np.ndarray) -> bytes:
    """Grey of 12 bits in TIFF: two numbers in three bytes."""
    stream = io.BytesIO(tiff(values))
    with tifffile.TiffFile(stream, mode="r+b") as file:
        file.pages[0].tags[258].overwrite(12)
        start = file.pages[0].dataoffsets[0]
    a, b = values.reshape(-1, 2).T.astype(np.uint16)
    stream.seek(start)
    stream.write(np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], 1).astype(np.uint8).tobytes())
    return stream.getvalue()


def png16(values: np.ndarray) -> bytes:
    """Colour of 16 bits (H, W, C) in PNG, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=2)


COLOUR16 = CHANCE.integers(0, 65536, (48, 64, 3), dtype=np.uint16)
PALETTE = PIXELS.quantize(64)
CMYK = CHANCE.integers(0, 256, (48, 64, 4), dtype=np.uint8)
INK = 255 - CMYK.astype(int)
BITS = GREY8 > 99
EXACT = {
    "8-bit RGB": (lambda: saved(PIXELS, "PNG"), RGB),
    "8-bit grey": (lambda: saved(Image.fromarray(GREY8), "PNG"), grey(GREY8)),
    "1-bit": (lambda: saved(Image.fromarray(BITS), "PNG"), grey(255 * BITS.astype(np.uint8))),
    "palette": (lambda: saved(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "palette with transparent colours": (
        lambda: saved(PALETTE, "PNG", transparency=bytes(range(64))),
        np.asarray(PALETTE.convert("RGB")),
    ),
    "palette with alpha": (lambda: saved(PALETTE.convert("PA"), "TIFF"), np.asarray(PALETTE.convert("RGB"))),
    "grey and alpha": (lambda: saved(Image.fromarray(np.dstack([GREY8, ALPHA])), "PNG"), grey(GREY8)),
    "RGB and alpha": (lambda: saved(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG"), RGB),
    "YCbCr": (lambda: saved(PIXELS.convert("YCbCr"), "TIFF"), np.asarray(PIXELS.convert("YCbCr").convert("RGB"))),
    "16-bit grey PNG": (lambda: saved(Image.fromarray(GREY16), "PNG"), grey(GREY8)),
    "16-bit grey TIFF": (lambda: tiff(GREY16), grey(GREY8)),
    "16-bit grey TIFF, big-endian": (lambda: saved(Image.fromarray(GREY16.astype(">u2")), "TIFF"), grey(GREY8)),
    "16-bit grey TIFF, white is 0": (lambda: tiff(GREY16, "miniswhite"), grey(255 - GREY8)),
    "16-bit grey PGM": (lambda: pgm(GREY16, 65535), grey(GREY8)),
    "12-bit grey PGM": (lambda: pgm(GREY16 >> 4, 4095), grey(np.rint((GREY16 >> 4) * (255 / 4095)).astype(np.uint8))),
    "12-bit grey TIFF": (lambda: tiff12(GREY16 >> 4), grey(np.rint((GREY16 >> 4) * (255 / 4095)).astype(np.uint8))),
}
CLOSE = {
    "16-bit colour PNG": (lambda: png16(COLOUR16), COLOUR16 / 257),
    "16-bit colour TIFF": (lambda: tiff(COLOUR16, "rgb"), COLOUR16 / 257),
    "16-bit grey and alpha": (lambda: png16(np.dstack([GREY16, GREY16])), grey(GREY16 / 257)),
    "16-bit colour and alpha": (lambda: png16(np.dstack([COLOUR16, GREY16])), COLOUR16 / 257),
    "CMYK": (lambda: saved(Image.fromarray(CMYK, "CMYK"), "TIFF"), INK[..., :3] * INK[..., 3:] / 255),
    "16-bit CMYK": (lambda: tiff(CMYK.astype(np.uint16) * 257, "separated"), INK[..., :3] * INK[..., 3:] / 255),
}
REFUSED = {
    "32-bit integers (mode I)": lambda: tiff(GREY16.astype("uint32")),
    "signed integers (mode I)": lambda: tiff(GREY16.astype("int16")),
    "signed integers (mode L)": lambda: tiff(GREY8.astype("int8")),
    "floating-point numbers (mode F)": lambda: tiff(GREY16.astype("float32")),
    "CIE Lab colours (mode LAB)": lambda: saved(Image.new("LAB", (4, 4)), "TIFF"),
}


@pytest.mark.parametrize("kind", [*EXACT, *CLOSE])
def test_every_kind_of_pixels_becomes_rgb_with_the_right_values(kind: str) -> None:
    make, expected = (EXACT | CLOSE)[kind]
    image = as_rgb(open_image(make()))
    found = np.asarray(image)
    assert image.mode == "RGB" and found.shape == (48, 64, 3)
    assert np.abs(found - expected.astype(float)).max() <= (1 if kind in CLOSE else 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_pixels_of_unknown_range_are_refused_by_their_mode(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(kind)}: allowed are 8 or 16 bits per channel, without sign"):
        as_rgb(open_image(REFUSED[kind]()))


def test_training_evaluation_data_check_and_copies_see_the_same_pixels(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=1, val=1)
    flat = Image.fromarray(np.full((256, 256), 128 * 257, np.uint16))
    for part in ("train", "val"):
        flat.save(root / part / "rocket" / "0.png")
    of = on_folders(root, "regime.img_size=32", "recipe.aa=none")
    for train in (True, False):
        images = load(of, train=train)
        last = next(images.batches([torch.tensor([4])], seed=0))[0]
        assert last.unique().tolist() == [128]
    copy = Image.open(io.BytesIO(encode(open_image((root / "train/rocket/0.png").read_bytes()), (32, 32), 90)))
    assert np.asarray(copy).min() == np.asarray(copy).max() == 128
    words = ["scripts/check_data.py", f"data.root={root}", "data=imagefolder", "data.num_classes=4"]
    assert inside(*words)[0] == 0
    for part in ("train", "val"):
        Image.fromarray(np.full((64, 64), 0.5, np.float32)).save(root / part / "rocket" / "0.tiff")
        refusal = (
            f"{root}/{part}/rocket/0.tiff: cannot be read: floating-point numbers (mode F): allowed are 8 or 16 bits"
        )
        with pytest.raises(DataError, match=re.escape(refusal)):
            next(load(of, train=part == "train").batches([torch.tensor([5])], seed=0))
        assert f"error: {refusal}" in inside(*words)[1]


@pytest.mark.usefixtures("no_workers_left")
@pytest.mark.parametrize("error", [[], [errno.ENOMEM, "x"], ["out of memory error when reading image file"]])
def test_a_shortage_of_memory_is_no_unreadable_image(
    error: list[Any], photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in training, where it would be skipped, nor in data-check."""
    kind = OSError if error else MemoryError
    for module in ("image_files", "inspect"):
        monkeypatch.setattr(f"roadmap.data.{module}.as_rgb", Mock(side_effect=kind(*error)))
    of, message = on_folders(photographs, "data.on_error=skip"), "out of memory: while {}/0.JPEG was decoded: fewer "
    for workers in (0, 1):
        files = replace(load(of, train=True), workers=workers)
        with pytest.raises(MemoryError) as caught:
            next(files.batches([torch.tensor([0])], seed=0))
        assert reason(caught.value).startswith(message.format(photographs / "train" / "astronaut"))
    words = [f"data.root={photographs}", "data=imagefolder", "data.num_classes=4", "training.workers=0"]
    code, said = inside("scripts/check_data.py", *words)
    assert code == 1 and message.format(photographs / "train" / "astronaut") in said and "Traceback" not in said


@pytest.mark.usefixtures("no_workers_left")
def test_a_worker_that_is_killed_is_reported(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("roadmap.data.image_files.as_rgb", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    files = replace(load(on_folders(photographs), train=True), workers=1)
    with pytest.raises(RuntimeError) as caught:
        next(files.batches([torch.tensor([0])], seed=0))
    ended = r"(was killed by a signal: Killed|ended unexpectedly)"  # whichever torch notices first
    said = rf"process \d+, which decodes images, {ended} \(out of memory\?\): fewer processes at a time"
    assert re.match(said, reason(caught.value))
    assert cli.run("train", Mock(side_effect=caught.value), []) == 1
    assert re.match(f"train: {said}", capsys.readouterr().err)


def test_a_resizing_process_that_is_killed_is_reported() -> None:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    with pytest.raises(BrokenProcessPool) as caught, pool:
        pool.submit(signal.raise_signal, signal.SIGKILL).result()
    assert shortage(caught.value).startswith("a process that resizes images ended unexpectedly (out of memory?): fewer")


def test_workers_do_not_outlive_an_error(photographs: Path) -> None:
    def work() -> None:
        files = replace(load(on_folders(photographs), train=True), workers=1)
        batches = files.batches([torch.tensor([0])] * 9, seed=0)
        next(batches)
        (worker,) = multiprocessing.active_children()
        image_files.end_workers()
        worker.join(10)
        sys.exit(worker.exitcode != -signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0

"""Where in a shard each image begins: found once, then kept in a file."""

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from roadmap.data.archives import regular_files
from roadmap.data.folders import EXTENSIONS
from roadmap.data.records import library
from roadmap.errors import DataError
from roadmap.files import write_atomic

Sample = tuple[str, int, int, int]
"""Name inside the shard, offset, bytes, label."""


def index(shard: Path, folder: Path) -> tuple[list[Sample], list[str]]:
    """The samples of a shard and its errors, read from a file in `folder` if the shard has not changed since."""
    state = shard.stat()
    known = repr((str(shard.absolute()), state.st_size, state.st_mtime_ns)).encode()
    kept = folder / f"{shard.stem}-{hashlib.blake2b(known, digest_size=8).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError):  # missing or damaged
        listed, complaints = json.loads(kept.read_text())
        return [(name, offset, size, label) for name, offset, size, label in listed], complaints
    samples, errors = list[Sample](), list[str]()
    try:
        for sample in _samples(shard):
            errors.append(sample) if isinstance(sample, str) else samples.append(sample)
    except DataError as error:
        errors.append(str(error))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, json.dumps([samples, errors]))
    return samples, errors


def _samples(shard: Path) -> Iterator[Sample | str]:
    """The samples in the order of the shard; a line instead of one that is malformed."""
    group = library("webdataset.tariterators", "webdataset").group_by_keys
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as stream:
            members = regular_files(tar, str(shard))
            for sample in group({"fname": member.name, "data": member, "__url__": ""} for member in members):
                yield _sample(sample, f"{shard}:{sample['__key__']}", stream)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: cannot be read: {error}") from error
    except ValueError as error:  # a duplicate name
        raise DataError(f"{shard}: {error.args[0]}") from error


def _sample(sample: dict[str, Any], name: str, stream: BinaryIO) -> Sample | str:
    """One sample from its files by extension. Only an image and a number are read; nothing is unpickled."""
    files = {ending: member for ending, member in sample.items() if isinstance(member, tarfile.TarInfo)}
    images = [member for ending, member in files.items() if f".{ending}".endswith(EXTENSIONS)]
    there = " ".join(f".{ending}" for ending in files)
    if len(images) != 1 or "cls" not in files:
        return f"{name}: one image (.jpg, .png, ...) and its class (.cls) are needed, there is {there}"
    stream.seek(files["cls"].offset_data)
    text = stream.read(min(files["cls"].size, 20)).decode("ascii", "replace").strip()
    if not text.isdecimal():
        return f"{name}.cls: allowed is a number from 0 on, not {text!r}"
    return images[0].name, images[0].offset_data, images[0].size, int(text)

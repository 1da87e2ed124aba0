"""Read what trackers wrote, and find sidecar processes."""

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chaos.outcome import lines, processes
from wandb.proto.wandb_internal_pb2 import Record

from roadmap import runs

__all__ = ["lines"]
BLOCK, FULL, LAST = 32768, 1, 4


@dataclass
class Logged:
    """A run in a file of Weights & Biases."""

    run: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def logged(directory: Path) -> Logged:
    """The one run that wandb keeps under a directory."""
    (path,) = directory.glob("wandb/*run-*/run-*.wandb")
    found = Logged()
    for record in map(Record.FromString, _records(path.read_bytes())):
        match record.WhichOneof("record_type"):
            case "run":
                found.run = record.run
            case "history":
                found.history.append(_values(record.history.item))
            case "summary":
                found.summary |= _values(record.summary.update)
            case "exit":
                found.exit_code = record.exit.exit_code
    return found


def _values(items: Any) -> dict[str, Any]:
    """The keys of a record; wandb's own begin with an underscore."""
    named = {".".join(item.nested_key) or item.key: item for item in items}
    return {key: json.loads(item.value_json) for key, item in named.items() if not key.startswith("_")}


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, after a header of 7 bytes: pieces that do not cross a block's end."""
    record, stream = b"", io.BytesIO(content)
    stream.seek(7)
    while header := stream.read(min(7, BLOCK - stream.tell() % BLOCK)):
        if len(header) == 7:
            record += stream.read(int.from_bytes(header[4:6], "little"))
            if header[6] in (FULL, LAST):
                yield record
                record = b""


def sidecars(directory: Path) -> list[int]:
    """Sidecar processes of runs under a directory."""
    return processes(f"roadmap.tracking.sidecar {directory}")


def wait_for_no_sidecar(directory: Path, seconds: float = 60) -> None:
    """Wait until no run under a directory has a sidecar."""
    deadline = time.monotonic() + seconds
    while sidecars(directory):
        assert time.monotonic() < deadline, (directory / runs.TRACKING / "log.txt").read_text()
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def without_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nobody has logged in to Weights & Biases."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

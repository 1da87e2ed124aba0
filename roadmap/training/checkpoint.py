"""Checkpoints: whole or not there, and the one before is kept."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from roadmap.files import write_atomic
from roadmap.runs import CHECKPOINT, PREVIOUS_CHECKPOINT

NEW = f"{CHECKPOINT}.new"  # whole, but not yet named: a process died between the two


def save(directory: Path, state: dict[str, Any]) -> None:
    """Write the newest checkpoint; at every moment of this, a whole one is on disk."""
    new, current = directory / NEW, directory / CHECKPOINT
    write_atomic(new, lambda stream: torch.save(state, stream))
    if current.exists():
        current.replace(directory / PREVIOUS_CHECKPOINT)
    new.replace(current)


def restore(directory: Path, config_hash: str) -> dict[str, Any] | None:
    """The newest whole checkpoint of this configuration; None if there is none. Damaged ones are removed."""
    for name in (NEW, CHECKPOINT, PREVIOUS_CHECKPOINT):
        state = _read(directory / name)
        if state is not None and state.get("config_hash") == config_hash:
            return state
        if state is None:  # or the next save would move it over a whole one
            (directory / name).unlink(missing_ok=True)
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds, if every byte of it is as written: the archive keeps a CRC of each record."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:  # a damaged file fails in as many ways as it has bytes; none of them may stop the run
        return None
    return state if isinstance(state, dict) else None

"""Checkpoints: whole or not there, and the one before is kept."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from roadmap.config.identity import digest, identity, told
from roadmap.errors import ConfigError
from roadmap.files import write_atomic
from roadmap.runs import CHECKPOINT, PREVIOUS_CHECKPOINT
from roadmap.training.diagnosis import out_of_memory

FORMAT = 1
NEW = f"{CHECKPOINT}.new"  # whole, but not yet named: a process died between the two


def save(directory: Path, state: dict[str, Any], config: dict[str, Any]) -> None:
    """Write the newest checkpoint of a configuration; at every moment of this, a whole one is on disk.

    Raises:
        NoSpace: there is no room for it; the ones before are still there.
    """
    new, current = directory / NEW, directory / CHECKPOINT
    label = {"format": FORMAT, "config_hash": digest(config), "identity": identity(config)}
    write_atomic(new, lambda stream: torch.save(label | state, stream))
    if current.exists():
        current.replace(directory / PREVIOUS_CHECKPOINT)
    new.replace(current)


def restore(directory: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The newest whole checkpoint; None if there is none. Damaged ones are removed.

    Raises:
        ConfigError: it is of another format, or of another configuration: the keys that differ; it stays.
    """
    for name in (NEW, CHECKPOINT, PREVIOUS_CHECKPOINT):
        state = _read(directory / name)
        if state is not None:
            _refuse_another(directory / name, state, config)
            return state
        (directory / name).unlink(missing_ok=True)  # or the next save would move it over a whole one
    return None


def _refuse_another(path: Path, state: dict[str, Any], config: dict[str, Any]) -> None:
    found = state.get("format")
    if found != FORMAT:
        raise ConfigError(
            f"{path}: a checkpoint of format {found}, and this version knows {FORMAT}: "
            "finish the run with the version that began it, or move the file away to begin again"
        )
    if state["config_hash"] != digest(config):
        listed = told(state["identity"], identity(config))
        raise ConfigError(f"{path}: a checkpoint of another run: {listed}: move it away to begin again")


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds, if every byte of it is as written: the archive keeps a CRC of each record."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)  # refuses a pickle that would run code
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it has bytes; none of them may stop the run
        if out_of_memory(error):
            raise
        return None
    return state if isinstance(state, dict) else None

"""What runs computed, and the processes that train them."""

import json
import subprocess
from pathlib import Path
from typing import Any

from roadmap import runs

MEASURED = (
    "wall_seconds", "images_per_second", "overhead_share", "finished_at", "hardware", "commit", "dirty", "checksum",
)  # fmt: skip
MEASURED_LINES = (
    "images_per_second", "data_share", "overhead_share", "training_seconds", "evaluation_seconds", "peak_memory_mb",
)  # fmt: skip


def computed(directory: Path) -> dict[str, Any]:
    """The result and metrics of a finished run without times, speeds and provenance.

    Raises:
        ConfigError: the result is damaged.
    """
    result = runs.read_result(directory / runs.RESULT)
    kept = [{k: v for k, v in line.items() if k not in MEASURED_LINES} for line in lines(directory)]
    return {k: v for k, v in result.items() if k not in (*MEASURED, "config")} | {"lines": kept}


def lines(directory: Path) -> list[dict[str, float]]:
    """The lines of metrics of a run."""
    return [json.loads(line) for line in (directory / runs.METRICS).read_text().splitlines()]


def processes(text: str) -> list[int]:
    """Processes with this text in their command lines."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if text in line]


def working_on(directory: Path) -> list[int]:
    """Processes that train runs under a directory."""
    return processes(f"run={directory}")

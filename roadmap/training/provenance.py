"""The origin of a result: commit, versions, hardware."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("torch", "torchvision", "timm", "hydra-core", "omegaconf", "numpy", "pillow")


def commit() -> tuple[str | None, bool]:
    """The commit of this code, and whether files other than results differ from it; None outside a repository."""

    def git(*words: str) -> str:
        folder, command = Path(__file__).parent, ["git", *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, False


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def hardware(device: torch.device) -> dict[str, Any]:
    """Processor, cores and threads used, accelerator."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}

"""From ResNet-50 to ConvNeXt, one named change at a time (arXiv 2201.03545, section 2)."""

import importlib
from typing import TYPE_CHECKING, Any

from roadmap.config.steps import Step, steps

if TYPE_CHECKING:
    from roadmap.inference.trained import load
    from roadmap.networks.ladder import create_model

__all__ = ["Step", "create_model", "load", "results", "steps"]
LATER = {"create_model": "roadmap.networks.ladder", "load": "roadmap.inference.trained"}
"""Names by the module that has them, which imports torch."""


def __getattr__(name: str) -> Any:
    """Import torch only when a network is asked for, and pandas only for results."""
    if name in LATER:
        return getattr(importlib.import_module(LATER[name]), name)
    if name == "results":
        return importlib.import_module("roadmap.results")
    raise AttributeError(f"module 'roadmap' has no attribute {name!r}")

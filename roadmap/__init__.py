"""From ResNet-50 to ConvNeXt, one named change at a time (arXiv 2201.03545, section 2)."""

from typing import TYPE_CHECKING, Any

from roadmap.config.steps import Step, steps

if TYPE_CHECKING:
    from roadmap.networks.ladder import create_model

__all__ = ["Step", "create_model", "steps"]


def __getattr__(name: str) -> Any:
    """Import torch only when a network is asked for."""
    if name == "create_model":
        from roadmap.networks.ladder import create_model

        return create_model
    raise AttributeError(f"module 'roadmap' has no attribute {name!r}")

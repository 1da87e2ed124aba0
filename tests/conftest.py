"""What tests share."""

from pathlib import Path

import pytest

from roadmap.data.fetch import fetch


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A directory that holds Fashion-MNIST: the repository's own data/, filled if it is not."""
    root = Path(__file__).parent.parent / "data"
    fetch("fashion_mnist", root)
    return root

"""The notebook: it runs from its first cell to its last, and what stands in it is what comes out."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "ladder.ipynb"


def texts(cell: Any) -> list[str]:
    """What a cell has printed or returned, as plain text; of figures nothing but that they are there."""
    outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    return [str(output.get("text") or output["data"]["text/plain"]) for output in outputs]


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_the_notebook_runs_and_shows_what_it_says(data_root: Path) -> None:
    committed = nbformat.read(NOTEBOOK, as_version=4)
    assert len(committed.cells) <= 10
    assert NOTEBOOK.stat().st_size < 300_000
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(fresh, timeout=240, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for cell, again in zip(committed.cells, fresh.cells, strict=True):
        if "execute(" not in cell.source:  # training says how fast it was
            assert texts(again) == texts(cell), cell.source
    figures = [cell for cell in fresh.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 2

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient


def texts(cell: Any) -> list[str]:
    """The outputs of a cell as plain text; a figure is its type and size."""
    outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    return [str(output.get("text") or output["data"]["text/plain"]) for output in outputs]


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_the_notebook_reproduces_its_outputs(committed: Path) -> None:
    notebook = committed / "notebooks" / "ladder.ipynb"
    written = nbformat.read(notebook, as_version=4)
    assert len(written.cells) <= 10 and notebook.stat().st_size < 300_000
    outputs = [output for cell in written.cells for output in cell.get("outputs", [])]
    assert all(output.get("name") != "stderr" for output in outputs), "warnings depend on the machine"
    fresh = nbformat.read(notebook, as_version=4)
    NotebookClient(fresh, timeout=240, resources={"metadata": {"path": str(notebook.parent)}}).execute()
    for cell, again in zip(written.cells, fresh.cells, strict=True):
        if "execute(" not in cell.source:  # training prints its speed
            assert texts(again) == texts(cell), cell.source
    figures = [cell for cell in fresh.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 2

"""The shape of the code: imports run downwards, and what needs no torch does not load it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.smoke import inside

PACKAGE = Path(__file__).parents[1] / "roadmap"
# From the ground up; a file may import its own room and those it names.
GROUND = {
    "files",
    "schema",
    "signals",
    "anatomy",
    "checks",
    "formulas",
    "steps",
    "refusals",
    "edits",
    "designs",
    "identity",
    "overrides",
    "config",
    "departures",
    "runs",
}
ROOMS: dict[str, set[str]] = {
    "files": set(),
    "schema": set(),
    "signals": set(),
    "anatomy": {"schema"},
    "checks": {"schema"},
    "formulas": {"schema"},
    "steps": {"schema", "checks", "formulas"},
    "refusals": {"schema"},
    "edits": {"schema", "checks"},
    "designs": {"schema", "checks", "edits", "steps"},
    "identity": set(),
    "overrides": {"schema", "identity", "refusals"},
    "config": {"schema", "checks", "formulas", "steps", "files", "refusals", "overrides"},
    "departures": {"schema", "checks", "steps", "identity", "config"},
    "runs": {"schema", "config", "files", "identity"},
    "data": GROUND,
    "model": GROUND,
    "tracking": GROUND,
    "training": GROUND | {"data", "model", "tracking"},
    "ladder": GROUND,
    "chaos": GROUND,
    "command": GROUND | {"data"},
    "show": GROUND | {"model", "command"},
    "__init__": GROUND | {"model"},
}


def imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {parts[1] for name in names if (parts := name.split("."))[0] == "roadmap" and len(parts) > 1}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert imported(path) <= ROOMS[room] | {room}


def test_torch_and_trackers_are_loaded_only_by_what_needs_them() -> None:
    light = ["roadmap", "roadmap.config", "roadmap.runs", "roadmap.data.fetch"]
    for room in ("ladder", "tracking"):
        light += [f"roadmap.{room}.{path.stem}" for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__"]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {light}]; "
    code += "sys.exit(any(heavy in sys.modules for heavy in ('torch', 'wandb', 'tensorboard')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_networks_are_made_without_hydra() -> None:
    code = "import sys; sys.modules['hydra'] = None; import roadmap; roadmap.create_model('gelu', 'micro')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "script", ["train.py", *(f"scripts/{p.name}" for p in sorted((PACKAGE.parent / "scripts").glob("*.py")))]
)
def test_every_script_helps(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = inside(script, "--help")
    assert code == 0
    assert "python " in output
    assert list(tmp_path.iterdir()) == []

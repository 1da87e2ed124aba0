"""The shape of the code: imports run downwards, names are unique, and what needs no torch does not load it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.smoke import ROOT, inside

PACKAGE = ROOT / "roadmap"
# From the bottom up. A module imports modules of its own row and of rows above it in this list; a longer name wins.
ROWS = [
    ["errors", "signals", "files", "terminal", "numbers"],
    ["networks.ops", "networks.layers", "networks.depthwise", "data.datasets"],
    ["config"],
    ["runs", "run_files", "answers", "cli", "environment"],
    ["networks", "data"],
    ["tracking", "training", "evals"],
    ["results"],
    ["inference"],
    ["sweep"],
    ["report"],
    ["__main__", "__init__"],
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
MODULES = {path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))}
NO_TORCH = ("config", "runs", "cli", "results", "sweep", "report", "tracking")


def rank(module: str) -> int:
    """The row of a module, by the longest name that fits."""
    parts = module.removesuffix(".__init__").split(".")
    return next(RANK[name] for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in RANK)


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            parts = rest.split(".")
            known = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
            if package == "roadmap" and rest:
                found |= {next((module for module in known if module in MODULES.values()), "__init__")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: MODULES[path])
def test_imports_run_downwards_and_no_path_leads_out_of_the_package(path: Path) -> None:
    upwards = {module for module in imported(path) if rank(module) > rank(MODULES[path])}
    assert not upwards
    depth = len(path.relative_to(PACKAGE).parts)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Subscript)]
    climbs = [ast.unparse(node) for node in nodes if "__file__" in ast.unparse(node.value)]
    assert not [climb for climb in climbs if int(climb.rpartition("[")[2].rstrip("]")) >= depth]


def test_packages_import_each_other_one_way() -> None:
    pairs = {(MODULES[path].split(".")[0], other.split(".")[0]) for path in MODULES for other in imported(path)}
    leaves = {"networks", "data", "config"}  # config reads the tables in networks.ops and data.datasets
    assert not {(a, b) for a, b in pairs if a < b and (b, a) in pairs and {a, b} - leaves}


def test_no_two_modules_share_a_name() -> None:
    names = [path.stem for path in MODULES if path.stem not in ("__init__", "__main__")]
    assert sorted(set(names)) == sorted(names)


def test_torch_and_trackers_are_loaded_only_by_what_needs_them() -> None:
    light = [f"roadmap.{m}".removesuffix(".__init__") for m in MODULES.values() if m.split(".")[0] in NO_TORCH]
    light += ["roadmap", "roadmap.data.fetch", "roadmap.data.datasets", "roadmap.networks.ops"]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {light}]; "
    code += "sys.exit(any(heavy in sys.modules for heavy in ('torch', 'wandb', 'tensorboard')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_script_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for script in [ROOT / "train.py", *(ROOT / "scripts").glob("*.py")]:
        code, output = inside(str(script), "--help")
        assert code == 0 and "python " in output, script
    assert list(tmp_path.iterdir()) == []

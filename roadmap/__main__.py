"""`python -m roadmap COMMAND key=value ...`: every command of the project, from a checkout or an installed wheel."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from roadmap import cli
from roadmap.errors import did_you_mean

# Name of a command to the module whose `main` it is. Modules import torch inside functions, so that --help is fast.
COMMANDS = {
    "check_data": "roadmap.data.inspect",
    "collate": "roadmap.results.collate",
    "compare": "roadmap.report.compare",
    "costs": "roadmap.networks.costs",
    "export": "roadmap.inference.export",
    "fetch_data": "roadmap.data.fetch",
    "paper": "roadmap.results.paper",
    "plot": "roadmap.report.plot",
    "predict": "roadmap.inference.predict",
    "prepare": "roadmap.data.resize",
    "publish": "roadmap.report.publish",
    "push": "roadmap.tracking.mirror",
    "show": "roadmap.networks.show",
    "split": "roadmap.data.split",
    "sweep": "roadmap.sweep.sweeper",
    "plan": "roadmap.sweep.estimate",
    "train": "roadmap.training.command",
    "evaluate": "roadmap.evals.evaluate",
    "view": "roadmap.report.page",
}


def start(name: str, words: Sequence[str] | None = None) -> None:
    """Run a command by name and exit; without words, those of the command line."""
    main = importlib.import_module(COMMANDS[name]).main
    sys.exit(cli.run(name, main, sys.argv[1:] if words is None else words))


def usage() -> str:
    """All commands, each with the first line of its help; their modules are not imported."""
    lines = ["python -m roadmap COMMAND key=value ...", ""]
    for name, module in sorted(COMMANDS.items()):
        source = Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text()
        main = next(
            node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "main"
        )
        lines.append(f"  {name:10} {(ast.get_docstring(main) or '').splitlines()[0]}")
    return "\n".join([*lines, "", "python -m roadmap COMMAND --help says more."])


if __name__ == "__main__":
    name, *words = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        start(name, words)
    if name in ("--help", "-h"):
        print(usage())
        sys.exit(0)
    print(
        f"{name}: no such command; allowed is {' '.join(sorted(COMMANDS))}{did_you_mean(name, COMMANDS)}",
        file=sys.stderr,
    )
    sys.exit(2)

"""`python -m roadmap COMMAND key=value ...`: every command of the project, from a checkout or an installed wheel."""

import importlib
import sys
from collections.abc import Sequence

from roadmap import cli

# Name of a command to the module whose `main` it is. Modules import torch inside functions, so that --help is fast.
COMMANDS = {
    "check_data": "roadmap.data.inspect",
    "collate": "roadmap.results.collate",
    "compare": "roadmap.report.compare",
    "fetch_data": "roadmap.data.fetch",
    "paper": "roadmap.results.paper",
    "plot": "roadmap.report.plot",
    "prepare": "roadmap.data.resize",
    "push": "roadmap.tracking.mirror",
    "sweep": "roadmap.sweep.sweeper",
    "plan": "roadmap.sweep.estimate",
    "train": "roadmap.training.command",
    "view": "roadmap.report.page",
}


def start(name: str, words: Sequence[str] | None = None) -> None:
    """Run a command by name and exit; without words, those of the command line."""
    main = importlib.import_module(COMMANDS[name]).main
    sys.exit(cli.run(name, main, sys.argv[1:] if words is None else words))


def usage() -> str:
    """All commands, each with the first line of its help."""
    lines = [importlib.import_module(module).main.__doc__ or "" for module in COMMANDS.values()]
    listed = [f"  {name:10} {line.splitlines()[0]}" for name, line in zip(COMMANDS, lines, strict=True)]
    return "\n".join(["python -m roadmap COMMAND key=value ...", "", *listed, "", "COMMAND --help says more."])


if __name__ == "__main__":
    name, *words = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        start(name, words)
    print(usage(), file=sys.stdout if name in ("--help", "-h") else sys.stderr)
    sys.exit(0 if name in ("--help", "-h") else 2)

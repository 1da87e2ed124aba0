"""Look at every image file of a study's data: counts, classes, files that cannot be read, odd formats, sizes.

    python scripts/check_data.py study=imagenet data.root=/path/to/imagenet
    python scripts/check_data.py data=imagefolder data.root=photos data.num_classes=4 training.workers=2

Exit code: 0 nothing wrong, 1 trouble, 2 refused.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from roadmap.checks import IN_MEMORY, require
from roadmap.command import command
from roadmap.config import compose
from roadmap.data.fetch import fetch
from roadmap.data.inspection import Report, look, summary


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    config = compose(parser.parse_args().words)
    name, root = config.data.name, Path(config.data.root).expanduser()
    require(name not in IN_MEMORY, "data", name.value, "imagenet or imagefolder: `make data` checks the others")
    fetch(name.value, root)
    console = Console(highlight=False, soft_wrap=True)
    report = Report()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking", total=None)
        workers = max(1, config.training.workers)
        imagenet, classes = name.value == "imagenet", config.data.num_classes
        for done, total, found in look(root, num_classes=classes, imagenet=imagenet, workers=workers):
            bar.update(task, completed=done, total=total)
            report = found
    for line in summary(report):
        console.print(line)
    return 1 if report.troubles else 0


if __name__ == "__main__":
    command(main)

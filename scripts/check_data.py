"""Look at every image of a study's data: counts, classes, images that cannot be read, odd formats, sizes.

    python scripts/check_data.py study=imagenet data.root=/path/to/imagenet
    python scripts/check_data.py data=imagefolder data.root=photos data.num_classes=4 training.workers=2
    python scripts/check_data.py study=imagenet data=webdataset data.root=/path/to/shards

Exit code: 0 nothing wrong, 1 trouble, 2 refused.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from roadmap.cli import command
from roadmap.config.checks import IN_MEMORY
from roadmap.config.compose import compose
from roadmap.data.fetch import FOLDERS, fetch
from roadmap.data.inspect import Report, look, summary
from roadmap.errors import require


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="options of conf/, as for train.py")
    config = compose(parser.parse_args().words)
    name = config.data.name
    others = "one of imagenet imagefolder webdataset parquet: `make data` checks the others"
    require(name not in IN_MEMORY, "data", name.value, others)
    if name.value in FOLDERS:
        fetch(name.value, Path(config.data.root))
    console = Console(highlight=False, soft_wrap=True)
    report = Report()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking", total=None)
        for done, total, found in look(config.data, workers=config.training.workers):
            bar.update(task, completed=done, total=total)
            report = found
    for line in summary(report):
        console.print(line)
    return 1 if report.troubles else 0


if __name__ == "__main__":
    command(main)

"""Make a resized copy of an image tree: smaller files that are decoded faster, for machines with few cores.

    python scripts/prepare.py data.root=/path/to/imagenet to=/path/to/small short_side=256 quality=90 workers=8
    python train.py study=imagenet data.root=/path/to/small +step=gelu

train/ is resized, val/ becomes a link to the originals, so that evaluation reads these; parts=train,val resizes both.
Stopped and started again, it goes on where it was. Training from a copy is not training from the originals: every
result says so (docs/resized.md).
Exit code: 0 done, 1 done, but some files cannot be read, 2 refused, 128 + signal stopped.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from roadmap.cli import command, options
from roadmap.data.resize import PARTS, shrink
from roadmap.data.resized_copy import Resized
from roadmap.errors import require
from roadmap.signals import caught

DEFAULTS = {"data.root": "", "to": "", "short_side": "256", "quality": "90", "parts": "train", "workers": "1"}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help=" ".join(f"{k}={v}" for k, v in DEFAULTS.items()))
    chosen = options(parser.parse_args().words, DEFAULTS)
    for key in ("data.root", "to"):
        require(bool(chosen[key]), key, "", "a folder")
    source, to = (Path(chosen[key]).expanduser().resolve() for key in ("data.root", "to"))
    apart = not to.is_relative_to(source) and not source.is_relative_to(to)
    require(apart, "to", to, f"a folder outside of data.root={source}")
    parts = tuple(part for part in PARTS if part in chosen["parts"].split(","))
    require(",".join(parts) == chosen["parts"], "parts", chosen["parts"], "train, val, or train,val")
    wanted = Resized(str(source), number(chosen, "short_side", 4096), number(chosen, "quality", 95), parts)
    workers = number(chosen, "workers", 256)
    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("resizing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total, troubles = 0, list[str]()
    with caught() as stop, Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("resizing", total=None)
        for done, files, unreadable in shrink(wanted, to, workers=workers):
            total, troubles = files, unreadable
            bar.update(task, completed=done, total=total)
            if stop:
                print("stopped: the same command goes on from here", file=sys.stderr)
                return 128 + stop[0]
    for line in troubles:
        console.print(f"trouble: {line}")
    console.print(f"{total - len(troubles):,} of {total:,} images in {to}, {wanted}")
    return 1 if troubles else 0


def number(chosen: dict[str, str], key: str, most: int) -> int:
    """A word as a number of 1 to `most`."""
    text = chosen[key]
    require(text.isdecimal() and 1 <= int(text) <= most, key, text, f"1 to {most}")
    return int(text)


if __name__ == "__main__":
    command(main)

"""Print parameters and multiply-adds of every rung beside the GFLOPs that the paper prints.

python scripts/costs.py            both regimes of the paper
python scripts/costs.py micro      any regime, at its own image size
python scripts/costs.py family     the paper's other ConvNeXts
"""

import argparse
import csv

from rich.console import Console
from rich.progress import track
from rich.table import Table

from roadmap.cli import command
from roadmap.config.steps import model_config, regimes, steps
from roadmap.networks.costs import cost
from roadmap.networks.family import family_config
from roadmap.results.paper import REFERENCE, paper_regime, published

FOOTNOTE = "* does not follow from the network that the paper describes: docs/faithfulness.md"
# A printed figure has two decimals: what is further off than rounding is no rounding.
ROUNDING = 0.0105
WIDTH = 120
"""Of what is no terminal, for which rich would cut the names of the rungs."""


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regimes", nargs="*", metavar="regime", default=["resnet50", "resnet200"])
    arguments = parser.parse_args()
    unknown = set(arguments.regimes) - {*regimes(), "family"}
    if unknown:
        parser.error(f"regime {' '.join(sorted(unknown))}: allowed is one of {' '.join(regimes())} family")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    for regime in arguments.regimes:
        console.print(family() if regime == "family" else costs(regime, console))
    return 0


def costs(regime: str, console: Console) -> Table:
    """The table of a regime."""
    paper = published(regime) if paper_regime(regime) == regime else {}
    table = Table("rung", title=regime, title_justify="left", caption_justify="left")
    for column in ("parameters", "multiply-adds", "GFLOPs", "paper", "difference"):
        table.add_column(column, justify="right")
    for rung in track(steps(regime), description=f"counting {regime}", console=console, transient=True):
        size = cost(model_config(rung.name, regime))
        row = [rung.name, f"{size.params:,}", f"{size.macs:,}", f"{size.macs / 1e9:.2f}"]
        if rung.name in paper:
            printed = paper[rung.name].gflops
            off = size.macs / 1e9 - printed
            mark = "*" if abs(off) > ROUNDING else ""
            table.caption = FOOTNOTE if mark else table.caption
            row += [f"{printed:.2f}{mark}", f"{off:+z.2f}"]
        table.add_row(*row)
    return table


def family() -> Table:
    """The table of the paper's other networks."""
    table = Table("network", title="family", title_justify="left")
    for column in ("image", "parameters", "paper, M", "GFLOPs", "paper"):
        table.add_column(column, justify="right")
    with (REFERENCE / "convnext_family.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            size = cost(family_config(row["model"]), img_size=int(row["img_size"]))
            computed = [f"{size.params:,}", row["params_m"], f"{size.macs / 1e9:.2f}", row["gflops"]]
            table.add_row(row["model"], row["img_size"], *computed)
    return table


if __name__ == "__main__":
    command(main)

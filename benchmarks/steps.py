"""Measure the training step of every rung against the plain one: the same network of torch's own layers in eager NCHW
float32, with its optimizer as it comes; and against timm's and torchvision's network where the rung is one of theirs.

    python benchmarks/steps.py                                     the path in the micro regime, batch 256
    python benchmarks/steps.py --steps resnet,gelu --rounds 9      some rungs, more rounds
    python benchmarks/steps.py --regime resnet50 --batch 8 --precision float32,bfloat16
    python benchmarks/steps.py --regime resnet50 --batch 128 --precision float32,bfloat16 --amp --compile     on a GPU
    python benchmarks/steps.py --show                              nothing but text and figures, from the tables

All arms of a rung alternate in one process; a ratio is the median over the rounds, its spread from the lowest to the
highest. Ours is the whole step with the average of the weights. Shares are of the roofs measured just before: of the
highest rate of multiply-adds, and of the memory's bandwidth if only the layers' outputs moved. Rows are added to
results/bench/<machine>.csv, from which text and figure beside it are made.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks import speed
from benchmarks.speed import AUTOCAST, COMPILED, PLAIN, Measured, Setting
from roadmap.cli import command
from roadmap.config.schema import Config, Precision
from roadmap.config.steps import regimes, steps
from roadmap.errors import require

if TYPE_CHECKING:
    import torch

PEERS = {("resnet", "resnet50"): "resnet50", ("layer_scale", "resnet50"): "convnext_tiny"}
"""What timm and torchvision call a rung's network in a regime."""
HEADINGS = ("rung", "arm", "images/s", "ratio", "spread", "FLOPs", "memory")


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regime", default="micro", choices=regimes(), help="size of network")
    parser.add_argument("--steps", default="", help="rungs, with commas; else those on the path")
    parser.add_argument("--batch", type=int, default=256, help="images a step")
    parser.add_argument("--size", type=int, help="height and width of the images; else the regime's")
    parser.add_argument("--precision", default="float32", help="float32, bfloat16, or both with a comma")
    parser.add_argument("--amp", action="store_true", help="the plain step also in bfloat16, by torch's autocast")
    parser.add_argument("--compile", action="store_true", help="ours in bfloat16 also compiled: a minute or two a rung")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=5, help="how often the arms alternate")
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"), help="cpu: where other work runs too")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), help="where bench/ is")
    parser.add_argument("--show", action="store_true", help="only text and figures")
    arguments = parser.parse_args()
    if arguments.show:
        _show(sorted((arguments.results_dir / "bench").glob("*.csv")))
        return 0
    import torch

    from roadmap.training.provenance import hardware

    machine = hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    file = speed.file_name(machine["cpu"], machine["cores"], machine["gpu"])
    path = arguments.results_dir / "bench" / f"{file}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    measure(arguments, path)
    _show([path])
    return 0


def _show(tables: list[Path]) -> None:
    for shown in (shown for path in tables for shown in speed.show(path)):
        print(shown)


def measure(arguments: argparse.Namespace, path: Path) -> None:
    """Measure all rungs, keeping each as it is done, and print what came out."""
    import torch

    from benchmarks.measure import configured, roofs
    from roadmap.training.device import set_up

    wanted = arguments.precision.split(",")
    known = [precision.value for precision in Precision]
    require(set(wanted) <= set(known), "--precision", arguments.precision, " or ".join([*known, ",".join(known)]))
    names = arguments.steps.split(",") if arguments.steps else [rung.name for rung in steps() if rung.main_sequence]
    size = {"batch": arguments.batch, "threads": arguments.threads}
    words = [f"data.img_size={arguments.size}"] if arguments.size else []
    configs = [configured(name, arguments.regime, **size, words=words) for name in names]
    device, console, found = set_up(configs[0]), Console(highlight=False, width=110), list[Measured]()
    console.print(f"{arguments.regime}, batch {arguments.batch}, {torch.get_num_threads()} threads, {arguments.clock}")
    tops = {name: roofs(device, getattr(torch, name), arguments.clock) for name in known}
    for name, (operations, bandwidth) in tops.items():
        console.print(f"roofs, {name}: {operations / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.1f} GB/s")
    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for config in configs:
        rows = measured(config, wanted, arguments, tops, device)
        speed.record(path, rows)
        found += rows
        for row in rows:
            spread, shares = f"{row.low:.2f} to {row.high:.2f}", (f"{row.flop_share:.0%}", f"{row.memory_share:.0%}")
            table.add_row(row.step, row.arm, f"{row.images_per_second:,.1f}", f"{row.ratio:.2f}", spread, *shares)
        console.print(time.strftime("%H:%M:%S"), *(f"{row.arm} {row.ratio:.2f}" for row in rows), config.step.name)
    console.print(table)
    for line in speed.conclusions(found):
        console.print(line, soft_wrap=True)


def measured(
    config: Config,
    wanted: list[str],
    arguments: argparse.Namespace,
    tops: dict[str, tuple[float, float]],
    device: "torch.device",
) -> list[Measured]:
    """The rows of a rung."""
    from benchmarks import measure as bench
    from roadmap.networks.costs import cost
    from roadmap.training.provenance import commit, versions

    def ours(name: str, *, compiled: bool = False) -> bench.Step:
        recipe = replace(config.recipe, precision=Precision[name])
        training = replace(config.training, compile=compiled)
        return bench.our_step(replace(config, recipe=recipe, training=training), device)

    arms = {name: ours(name) for name in wanted} | {PLAIN: bench.plain_step(config, device)}
    if arguments.amp:
        arms[AUTOCAST] = bench.plain_step(config, device, Precision.bfloat16)
    if arguments.compile:
        arms[COMPILED] = ours("bfloat16", compiled=True)
        print(f"{config.step.name}: {bench.timed(arms[COMPILED], 'wall'):.1f} s for the first compiled step")
    if peer := PEERS.get((config.step.name, config.regime.name)):
        import timm
        import torchvision

        makers = {"timm": timm.create_model, "torchvision": torchvision.models.get_model}
        classes = config.data.num_classes
        arms |= {name: bench.step_of(make(peer, num_classes=classes), config, device) for name, make in makers.items()}
    seconds = bench.alternate(arms, rounds=arguments.rounds, clock=arguments.clock)
    data, numbers = config.data, bench.traffic(config)
    macs = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size).macs
    setting = Setting(config.regime.name, data.img_size, config.recipe.batch_size, arguments.threads, arguments.clock)
    rows = []
    for arm in arms:
        each = [p / own for p, own in zip(seconds[PLAIN], seconds[arm], strict=True)]
        rate = config.recipe.batch_size / statistics.median(seconds[arm])
        flops, bandwidth = tops["bfloat16" if "bfloat16" in arm else "float32"]
        shares = (6 * macs * rate / flops, numbers * (2 if "bfloat16" in arm else 4) * rate / bandwidth)
        spread = (statistics.median(each), min(each), max(each))
        rung, origin = config.step, (versions()["torch"], (commit()[0] or "")[:12])
        rows.append(
            Measured(setting, rung.name, rung.group, arm, macs, rate, *spread, *shares, arguments.rounds, *origin)
        )
    return rows


if __name__ == "__main__":
    command(main)

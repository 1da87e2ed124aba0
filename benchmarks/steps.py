"""Measure the training step of every step of the ladder against a baseline."""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import speed
from benchmarks.speed import AUTOCAST, BASELINE, COMPILED
from roadmap import cli
from roadmap.config.schema import Config, Precision
from roadmap.config.steps import regimes, steps
from roadmap.errors import require

if TYPE_CHECKING:
    import torch

DEFAULTS = {
    "regime": "micro", "steps": "", "batch": "256", "size": "", "precision": "float32", "amp": "false",
    "compile": "false", "threads": "1", "rounds": "5", "clock": "wall", "results_dir": "results", "show": "false",
}  # fmt: skip
PRECISIONS = tuple(precision.value for precision in Precision)
PEERS = {("resnet", "resnet50"): "resnet50", ("layer_scale", "resnet50"): "convnext_tiny"}
"""Names in timm and torchvision of a step's network in a regime."""
Peaks = dict[str, tuple[float, float]]


def main(words: list[str]) -> int:
    """Measure the training step of every step of the ladder against a baseline.

        python benchmarks/steps.py                                     the main sequence in the micro regime, batch 256
        python benchmarks/steps.py steps=resnet,gelu rounds=9          some steps, more rounds
        python benchmarks/steps.py regime=resnet50 batch=8 precision=float32,bfloat16
        python benchmarks/steps.py regime=resnet50 batch=128 precision=bfloat16 amp=true compile=true    on a GPU
        python benchmarks/steps.py show=true                           only text and figures, from the tables

    The baseline is the same network built from torch's own layers, eager, NCHW, float32, with a default optimizer.
    amp=true measures it in bfloat16 too, by autocast; compile=true measures ours compiled too. timm's and torchvision's
    networks are measured where a step has one. size= is the size of images, if not the regime's; clock=cpu is for a
    machine with other work.

    All methods alternate in one process. Shares are of the peak rates that were measured just before. Rows are added to
    <results_dir>/bench/<machine>.csv, from which text and figure beside it are made.
    """
    chosen = cli.options(words, DEFAULTS)
    directory = Path(chosen["results_dir"]).expanduser() / "bench"
    if cli.flag(chosen, "show"):
        tables = sorted(directory.glob("*.csv"))
    else:
        import torch

        from roadmap.training.provenance import hardware

        machine = hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        tables = [directory / f"{speed.file_name(machine['cpu'], machine['cores'], machine['gpu'])}.csv"]
        measure(chosen, tables[0])
    for path in (path for table in tables for path in speed.show(table)):
        print(path)
    return 0


def measure(chosen: dict[str, str], path: Path) -> None:
    """Measure all steps, write the rows of each when it is done, and print a table."""
    import torch

    from benchmarks.measure import configured, peaks
    from roadmap.networks.device import set_up

    wanted, regime = chosen["precision"].split(","), cli.choice(chosen, "regime", regimes())
    allowed = " or ".join([*PRECISIONS, ",".join(PRECISIONS)])
    require(set(wanted) <= {*PRECISIONS}, "precision", chosen["precision"], allowed)
    clock = cli.choice(chosen, "clock", ("wall", "cpu"))
    names = chosen["steps"].split(",") if chosen["steps"] else [step.name for step in steps() if step.main_sequence]
    size = {key: cli.whole(chosen, key) for key in ("batch", "threads")}
    words = [f"data.img_size={cli.whole(chosen, 'size')}"] if chosen["size"] else []
    configs = [configured(name, regime, **size, words=words) for name in names]
    device, console, found = set_up(configs[0]), Console(highlight=False, width=110), list[dict[str, Any]]()
    console.print(f"{regime}, batch {size['batch']}, {torch.get_num_threads()} threads, {clock}")
    highest = {name: peaks(device, getattr(torch, name), clock) for name in PRECISIONS}
    for name, (operations, bandwidth) in highest.items():
        console.print(f"peak, {name}: {operations / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.1f} GB/s")
    table = Table("step", "method", "images/s", "ratio", "range", "FLOPs", "memory")
    path.parent.mkdir(parents=True, exist_ok=True)
    for config in configs:
        rows = measured(config, wanted, chosen, highest, device)
        speed.record(path, rows)
        found += rows
        for row in rows:
            cells = f"{row['images_per_second']:,.1f}", f"{row['ratio']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}"
            shares = f"{row['flop_share']:.0%}", f"{row['memory_share']:.0%}"
            table.add_row(row["step"], row["method"], *cells, *shares)
        ratios = (f"{row['method']} {row['ratio']:.2f}" for row in rows)
        console.print(time.strftime("%H:%M:%S"), *ratios, config.step.name)
    console.print(table)
    for line in speed.notes(speed.read(path).merge(speed.pd.DataFrame(found)[speed.KEY])):
        console.print(line, soft_wrap=True)


def measured(
    config: Config, wanted: list[str], chosen: dict[str, str], peaks: Peaks, device: "torch.device"
) -> list[dict[str, Any]]:
    """The rows of a step."""
    from benchmarks.measure import alternate, traffic
    from roadmap.networks.costs import cost
    from roadmap.training.provenance import commit, versions

    methods = make_methods(config, wanted, chosen, device)
    threads, rounds, clock = cli.whole(chosen, "threads"), cli.whole(chosen, "rounds"), chosen["clock"]
    seconds = alternate(methods, rounds=rounds, clock=clock)
    data, numbers = config.data, traffic(config)
    macs = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size).macs
    rows = []
    for method in methods:
        ratios = [base / own for base, own in zip(seconds[BASELINE], seconds[method], strict=True)]
        rate = config.recipe.batch_size / statistics.median(seconds[method])
        half = "bfloat16" in method
        flops, bandwidth = peaks["bfloat16" if half else "float32"]
        rows.append(
            {
                "regime": config.regime.name, "img_size": data.img_size, "batch": config.recipe.batch_size,
                "threads": threads, "clock": clock, "step": config.step.name, "group": config.step.group,
                "method": method, "macs": macs, "images_per_second": rate, "ratio": statistics.median(ratios),
                "low": min(ratios), "high": max(ratios), "flop_share": 6 * macs * rate / flops,
                "memory_share": numbers * (2 if half else 4) * rate / bandwidth, "rounds": rounds,
                "torch": versions()["torch"], "commit": (commit()[0] or "")[:12],
            }
        )  # fmt: skip
    return rows


def make_methods(config: Config, wanted: list[str], chosen: dict[str, str], device: "torch.device") -> dict[str, Any]:
    """The steps to be compared, by the name of the method."""
    from benchmarks.measure import baseline_step, our_step, timed

    def ours(name: str, *, compiled: bool = False) -> Any:
        recipe = replace(config.recipe, precision=Precision[name])
        return our_step(replace(config, recipe=recipe, training=replace(config.training, compile=compiled)), device)

    methods = {name: ours(name) for name in wanted} | {BASELINE: baseline_step(config, device)}
    if cli.flag(chosen, "amp"):
        methods[AUTOCAST] = baseline_step(config, device, Precision.bfloat16)
    if cli.flag(chosen, "compile"):
        methods[COMPILED] = ours("bfloat16", compiled=True)
        print(f"{config.step.name}: {timed(methods[COMPILED]):.1f} s for the first compiled step")
    if peer := PEERS.get((config.step.name, config.regime.name)):
        import timm
        import torchvision

        for name, make in {"timm": timm.create_model, "torchvision": torchvision.models.get_model}.items():
            network = make(peer, num_classes=config.data.num_classes)
            methods[name] = baseline_step(config, device, network=network)
    return methods


if __name__ == "__main__":
    sys.exit(cli.run("steps", main, sys.argv[1:]))

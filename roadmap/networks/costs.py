"""Parameters and multiply-adds of networks, and the command that compares them with the paper."""

from dataclasses import replace
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from roadmap import cli
from roadmap.config.conf import reference
from roadmap.config.schema import ModelConfig, StudyConfig
from roadmap.config.step_files import Ladder, ladders, read_ladder
from roadmap.config.steps import model_config, regimes, steps
from roadmap.errors import require_one_of
from roadmap.numbers import COUNTS, column, headed
from roadmap.terminal import Terminal

FOOTNOTE = "* does not follow from the network that the paper describes: docs/faithfulness.md"
ROUNDING = 0.0105  # largest difference that two printed decimals explain, in GFLOPs


class Stage(NamedTuple):
    """The cost of the stem, of a stage with the downsampling before it, or of the head."""

    name: str
    channels: int  # channels of its output
    size: int  # height and width of its output in pixels
    params: int
    macs: int


class Cost(NamedTuple):
    """The cost of a network and of one forward pass."""

    params: int
    macs: int  # multiply-adds of convolutions and linear layers for one image, which the field prints as FLOPs
    stages: list[Stage]


def cost(model: ModelConfig, *, num_classes: int = 1000, in_chans: int = 3, img_size: int = 224) -> Cost:
    """Count for one (in_chans, img_size, img_size) image by torch's FlopCounterMode; nothing is computed."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from roadmap.networks.ladder import build

    stages: list[Stage] = []
    with torch.device("meta"), torch.no_grad():
        network = build(model, num_classes=num_classes, in_chans=in_chans).eval()
        for module in network.modules():  # count nothing, keep the shape, and take most of the time
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm | nn.ReLU | nn.GELU):
                module.forward = nn.Identity().forward  # type: ignore[method-assign]
        x = torch.empty(1, in_chans, img_size, img_size)
        for name, part in network.parts():
            with FlopCounterMode(display=False) as counter:
                x = part(x)
            params, size = sum(p.numel() for p in part.parameters()), x.shape[2] if x.ndim == 4 else 1
            stages.append(Stage(name, x.shape[1], size, params, counter.get_total_flops() // 2))
    return Cost(sum(stage.params for stage in stages), sum(stage.macs for stage in stages), stages)


def family_config(name: str) -> ModelConfig:
    """One of the paper's other networks, a row of convnext_family.csv (ConfigError: an unknown name).

    ConvNeXts have four stages; isotropic ConvNeXt (section 3.3) has one, on patches of 16 pixels.
    """
    family = {row["model"]: row for row in reference("convnext_family")}
    require_one_of("model", name, family)
    row = family[name]
    depths = [int(depth) for depth in row["depths"].split()]
    model = replace(model_config(row["step"]), depths=depths, width=int(row["width"]))
    return model if len(depths) > 1 else replace(model, stem=["patchify"], downsample=[], patch_size=16)


def main(words: list[str]) -> int:
    """Print parameters and multiply-adds of every step, with the GFLOPs that the paper prints.

    python scripts/costs.py                  the ladder's regimes, of the paper
    python scripts/costs.py regime=micro     any regime, for images of 224 pixels
    python scripts/costs.py ladder=mobile    another ladder
    python scripts/costs.py regime=family    the paper's other ConvNeXts
    """
    given = cli.options(words, {"regime": "", "ladder": StudyConfig.ladder})
    ladder = read_ladder(cli.choice(given, "ladder", ladders()))
    chosen = given["regime"].split(",") if given["regime"] else [*ladder.options.studies]
    for regime in chosen:
        cli.choice({"regime": regime}, "regime", [*regimes(), "family"])
    console = Terminal(soft_wrap=False)
    if not console.is_terminal:
        console.width = 120  # at rich's default, the names of steps would be cut
    for regime in chosen:
        console.print(_family_table() if regime == "family" else _table(regime, ladder, console))
    return 0


def _table(regime: str, ladder: Ladder, console: Console) -> Table:
    source = ladder.options.reference
    rows = {row["step"]: row for row in (reference(source.table) if source else []) if row["regime"] == regime}
    names = {name: (source.steps if source else {}).get(name, name) for name in ladder.files}
    paper = {name: float(rows[row]["gflops"]) for name, row in names.items() if row in rows}
    every = track(steps(regime, ladder.name), description=f"counting {regime}", console=console, transient=True)
    found = {step.name: cost(model_config(step.name, regime, ladder.name)) for step in every}
    unit, params = column([each.params for each in found.values()], COUNTS)
    flops, multiply_adds = column([each.macs for each in found.values()], COUNTS)
    if paper:  # as many decimals as it prints
        flops, multiply_adds = "G", [f"{each.macs / 1e9:.2f}" for each in found.values()]
    table = Table("step", title=regime, title_justify="left", caption_justify="left")
    for heading in (headed("parameters", unit), f"{flops}FLOPs", *(("paper", "difference") if paper else ())):
        table.add_column(heading, justify="right")
    for (step, each), *cells in zip(found.items(), params, multiply_adds, strict=True):
        if step in paper:
            difference = each.macs / 1e9 - paper[step]
            mark = "*" if abs(difference) > ROUNDING else ""
            table.caption = FOOTNOTE if mark else table.caption
            cells += [f"{paper[step]:.2f}{mark}", f"{difference:+z.2f}"]
        table.add_row(step, *cells)
    return table


def _family_table() -> Table:
    paper = reference("convnext_family")
    found = [cost(family_config(row["model"]), img_size=int(row["img_size"])) for row in paper]
    table = Table("network", title="family", title_justify="left")
    for heading in ("image", "parameters, M", "paper, M", "GFLOPs", "paper"):
        table.add_column(heading, justify="right")
    for row, each in zip(paper, found, strict=True):
        counted = [f"{each.params / 1e6:.1f}", row["params_m"], f"{each.macs / 1e9:.2f}", row["gflops"]]
        table.add_row(row["model"], row["img_size"], *counted)
    return table

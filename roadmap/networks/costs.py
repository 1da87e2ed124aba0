"""Parameters and multiply-adds of networks, and the command that compares them with the paper."""

from dataclasses import replace
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from roadmap import cli
from roadmap.config.conf import reference
from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config, regimes, steps
from roadmap.errors import require_one_of
from roadmap.terminal import Terminal

FAMILY = {
    "convnext_tiny": ([3, 3, 9, 3], 96),
    "convnext_small": ([3, 3, 27, 3], 96),
    "convnext_base": ([3, 3, 27, 3], 128),
    "convnext_large": ([3, 3, 27, 3], 192),
    "convnext_xlarge": ([3, 3, 27, 3], 256),
    "convnext_isotropic_small": ([18], 384),
    "convnext_isotropic_base": ([18], 768),
    "convnext_isotropic_large": ([36], 1024),
}
"""Depths and width of the paper's other networks: ConvNeXt (Table 1) and isotropic ConvNeXt (Table 2)."""
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
    """One of the paper's other networks (ConfigError: an unknown name).

    ConvNeXt is the last step of the ladder; isotropic ConvNeXt (section 3.3) has one stage of its blocks, without
    layer scale, on patches of 16 pixels.
    """
    require_one_of("model", name, FAMILY)
    depths, width = FAMILY[name]
    if len(depths) > 1:
        return replace(model_config("layer_scale"), depths=depths, width=width)
    blocks = model_config("separate_downsampling")
    return replace(blocks, stem=["patchify"], downsample=[], patch_size=16, depths=depths, width=width)


def main(words: list[str]) -> int:
    """Print parameters and multiply-adds of every step, with the GFLOPs that the paper prints.

    python scripts/costs.py                  both regimes of the paper
    python scripts/costs.py regime=micro     any regime, for images of 224 pixels
    python scripts/costs.py regime=family    the paper's other ConvNeXts
    """
    chosen = cli.options(words, {"regime": "resnet50,resnet200"})["regime"].split(",")
    for regime in chosen:
        cli.choice({"regime": regime}, "regime", [*regimes(), "family"])
    console = Terminal(soft_wrap=False)
    if not console.is_terminal:
        console.width = 120  # at rich's default, the names of steps would be cut
    for regime in chosen:
        console.print(_family_table() if regime == "family" else _table(regime, console))
    return 0


def _table(regime: str, console: Console) -> Table:
    paper = {row["step"]: float(row["gflops"]) for row in reference("convnext_paper") if row["regime"] == regime}
    table = Table("step", title=regime, title_justify="left", caption_justify="left")
    for column in ("parameters", "multiply-adds", "GFLOPs", "paper", "difference"):
        table.add_column(column, justify="right")
    for step in track(steps(regime), description=f"counting {regime}", console=console, transient=True):
        found = cost(model_config(step.name, regime))
        row = [step.name, f"{found.params:,}", f"{found.macs:,}", f"{found.macs / 1e9:.2f}"]
        if step.name in paper:
            difference = found.macs / 1e9 - paper[step.name]
            mark = "*" if abs(difference) > ROUNDING else ""
            table.caption = FOOTNOTE if mark else table.caption
            row += [f"{paper[step.name]:.2f}{mark}", f"{difference:+z.2f}"]
        table.add_row(*row)
    return table


def _family_table() -> Table:
    table = Table("network", title="family", title_justify="left")
    for column in ("image", "parameters", "paper, M", "GFLOPs", "paper"):
        table.add_column(column, justify="right")
    for row in reference("convnext_family"):
        found = cost(family_config(row["model"]), img_size=int(row["img_size"]))
        counted = [f"{found.params:,}", row["params_m"], f"{found.macs / 1e9:.2f}", row["gflops"]]
        table.add_row(row["model"], row["img_size"], *counted)
    return table

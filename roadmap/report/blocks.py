"""A network's lists of words as drawings: a box a layer, the shortcut beside them, what a rung changed marked."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from roadmap.config.schema import ModelConfig, Op
from roadmap.networks.anatomy import name

PARTS = ("block", "stem", "downsample", "head")
KINDS = {
    Op.norm: "norm", Op.act: "act", Op.add: "add", Op.layer_scale: "scale", Op.dwconv: "depthwise",
    Op.max_pool: "pool", Op.avg_pool: "pool", Op.flatten: "pool",
}  # fmt: skip
BOX, GAP, WIDTH, SIDE, RIM = (
    24,
    9,
    168,
    30,
    14,
)  # height, gap and width of boxes, room for the shortcut, ends of the line


class Box(NamedTuple):
    """A layer to be drawn."""

    text: str
    kind: str
    changed: bool
    """Whether the other side has no such layer in this place."""


def drawings(before: ModelConfig | None, after: ModelConfig) -> list[dict[str, str | None]]:
    """Of the block, and of what else a rung changes of a network: SVG before and after.

    `before` is None where there is nothing to compare with, or where it is the same.
    """
    drawn: list[dict[str, str | None]] = []
    for part in PARTS:
        new, old = named(after, part), named(before, part) if before else None
        if part != "block" and (old is None or old == new):
            continue
        same = old is None or old == new
        first = draw(boxes(old, new), f"{part} before") if old is not None and not same else None
        second = draw(boxes(new, None if same else old), part if same else f"{part} after")
        drawn.append({"part": part, "before": first, "after": second})
    return drawn


def named(model: ModelConfig, part: str) -> list[tuple[str, str]]:
    """Name and kind of each layer, with the channels of the first stage; downsampling leads to the second."""
    words: list[Op] = getattr(model, part)
    return [(name(word, model), KINDS.get(word, "conv")) for word in words]


def boxes(own: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]] | None) -> list[Box]:
    """One side's layers, with those marked that are not, in this order, on the other."""
    other = own if other is None else other
    same = {i for block in SequenceMatcher(None, own, other, autojunk=False).get_matching_blocks()
            for i in range(block.a, block.a + block.size)}  # fmt: skip
    return [Box(text, kind, i not in same) for i, (text, kind) in enumerate(own)]


def draw(layers: Sequence[Box], title: str) -> str:
    """SVG of layers from top to bottom; colours come from the page's style, by class."""
    height = 2 * RIM + len(layers) * (BOX + GAP) - GAP if layers else 2 * RIM
    width, middle = WIDTH + 2 * SIDE, SIDE + WIDTH / 2
    svg = Element(
        "svg", {"viewBox": f"0 0 {width} {height}", "width": f"{width}", "height": f"{height}", "role": "img"}
    )
    label = ", ".join(layer.text for layer in layers) or "nothing"
    svg.set("aria-label", f"{title}: {label}")
    tops = [RIM + i * (BOX + GAP) for i in range(len(layers))]
    ends = [0, *(edge for top in tops for edge in (top, top + BOX)), height]
    for start, end in list(pairwise(ends))[::2]:
        SubElement(svg, "path", {"class": "wire", "d": f"M{middle} {start}V{end}"})
    for layer, top in zip(layers, tops, strict=True):
        box = SubElement(svg, "g", {"class": f"layer {layer.kind}{' changed' if layer.changed else ''}"})
        if layer.kind == "add":
            right = SIDE + WIDTH + SIDE / 2
            path = f"M{middle} {RIM / 2}H{right}V{top + BOX / 2}H{middle + BOX / 2}"
            SubElement(svg, "path", {"class": "wire shortcut", "d": path})
            SubElement(box, "circle", {"cx": f"{middle}", "cy": f"{top + BOX / 2}", "r": f"{BOX / 2}"})
        else:
            place = {"x": f"{SIDE}", "y": f"{top}", "width": f"{WIDTH}", "height": f"{BOX}", "rx": "5"}
            SubElement(box, "rect", place)
        text = SubElement(box, "text", {"x": f"{middle}", "y": f"{top + BOX / 2}"})
        text.text = "+" if layer.kind == "add" else layer.text
    return tostring(svg, encoding="unicode")

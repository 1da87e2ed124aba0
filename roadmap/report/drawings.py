"""Drawings of a network's op lists: one box per op, the shortcut beside them, the ops that a step changes marked."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from roadmap.config.schema import ModelConfig
from roadmap.networks.ops import OPS, labels

LISTS = ("block", "stem", "downsample", "head")
BOX, GAP, WIDTH = 24, 9, 168  # height, distance and width of the boxes, in pixels
SIDE, RIM = 30, 14  # room for the shortcut; ends of the wire


class Box(NamedTuple):
    """An op to be drawn."""

    text: str
    kind: str  # a class of the page's style sheet, which gives the colour
    changed: bool = False  # whether the other network has no such op in this position


def drawings(before: ModelConfig | None, after: ModelConfig) -> list[dict[str, str | None]]:
    """SVG before and after of the block, and of each other list that differs.

    `before` is None in the result if there is nothing to compare with, or nothing changes.
    """
    drawn: list[dict[str, str | None]] = []
    for part in LISTS:
        new, old = boxes(after, part), boxes(before, part) if before else None
        if old is not None and old != new:
            sides = draw(marked(old, new), f"{part} before"), draw(marked(new, old), f"{part} after")
            drawn.append({"part": part, "before": sides[0], "after": sides[1]})
        elif part == "block":
            drawn.append({"part": part, "before": None, "after": draw(new, part)})
    return drawn


def boxes(model: ModelConfig, part: str) -> list[Box]:
    """The ops of a list, with the channels of the first stage."""
    return [Box(label, OPS[op].kind) for op, label in zip(getattr(model, part), labels(model, part), strict=True)]


def marked(own: Sequence[Box], other: Sequence[Box]) -> list[Box]:
    """Boxes with those marked that `other` does not have in this order."""
    matcher = SequenceMatcher(None, own, other, autojunk=False)
    same = {i for block in matcher.get_matching_blocks() for i in range(block.a, block.a + block.size)}
    return [box._replace(changed=i not in same) for i, box in enumerate(own)]


def draw(layers: Sequence[Box], title: str) -> str:
    """SVG of layers from top to bottom, with the title and the texts as its label for screen readers."""
    height = 2 * RIM + max(0, len(layers) * (BOX + GAP) - GAP)
    width, middle = WIDTH + 2 * SIDE, SIDE + WIDTH / 2
    size = {"viewBox": f"0 0 {width} {height}", "width": f"{width}", "height": f"{height}", "role": "img"}
    svg = Element("svg", size | {"aria-label": f"{title}: {', '.join(layer.text for layer in layers) or 'empty'}"})
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
            SubElement(box, "rect", {"x": f"{SIDE}", "y": f"{top}", "width": f"{WIDTH}", "height": f"{BOX}", "rx": "5"})
        text = SubElement(box, "text", {"x": f"{middle}", "y": f"{top + BOX / 2}"})
        text.text = "+" if layer.kind == "add" else layer.text
    return tostring(svg, encoding="unicode")

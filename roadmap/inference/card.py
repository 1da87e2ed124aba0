"""The description of an exported network: a model card for people, settings for programs."""

from typing import Any

from roadmap.cli import counted
from roadmap.config.conf import to_dict
from roadmap.config.schema import DataConfig
from roadmap.config.steps import find, steps
from roadmap.data.datasets import dataset
from roadmap.data.image_transforms import SQUASH_SIZE
from roadmap.inference.trained import Trained, square
from roadmap.numbers import COUNTS, column
from roadmap.results.statistics import one_run

PAPER = "https://arxiv.org/abs/2201.03545"


def settings(trained: Trained) -> dict[str, Any]:
    """What a program needs to use the network: its input, its classes, its ops."""
    data, config = trained.config.data, trained.config
    return {
        "step": config.step.name,
        "study": config.study.name,
        "seed": config.seed,
        "weights": trained.weights,
        "classes": trained.classes,
        "input": {
            "channels": data.in_chans,
            "size": data.img_size,
            "scaled": "0 to 1",
            "mean": data.mean,
            "std": data.std,
            "resize": _resize(trained),
        },
        "model": to_dict(config.model),
        "config_hash": trained.result["config_hash"],
    }


def card(trained: Trained, *, file: str, usage: str, checked: str) -> str:
    """The model card as Markdown: step, study, accuracy with its interval, deviations from the paper, license.

    `usage` is Python that makes `logits` (1, K) of `x`, (1, C, H, W) in NumPy; the card prepares x from a file.
    """
    config, result = trained.config, trained.result
    facts = _origin(trained) | _use(trained) | {"Checked": f"`{file}` against the network: {checked}"}
    pairs = {key: map(_written, pair) for key, pair in result.get("deviations", {}).items()}
    deviations = [f"| `{key}` | {here} | {paper} |" for key, (here, paper) in pairs.items()]
    return "\n".join(
        [
            f"# {config.step.title}, {config.study.name}\n",
            f"A network on the way from ResNet to ConvNeXt ([A ConvNet for the 2020s]({PAPER}), section 2).\n",
            *(f"- **{heading}**: {text}" for heading, text in facts.items()),
            f"\n```python\n{_code(trained, usage)}\n```\n",
            "## Deviations from the paper\n",
            *(["| option | here | paper |", "|---|---|---|", *deviations] if deviations else ["Not recorded."]),
            "",
        ]
    )


CODE = """\
import json
from pathlib import Path

import numpy as np
{imports}
from PIL import {pillow}

folder = Path(".")  # where this card lies
settings = json.loads((folder / "config.json").read_text())
image = Image.open("image.png").convert("{mode}")  # of 8 bits per channel
{resize}
x = (np.asarray(image, dtype=np.float32).reshape({size}, {size}, -1) / 255 - {mean}) / {std}
x = np.ascontiguousarray(x.transpose(2, 0, 1)[None], dtype=np.float32)  # (1, C, H, W)
{network}
print(settings["classes"][int(logits.argmax())])"""
"""From a file with an image to the name of its class."""


def _code(trained: Trained, usage: str) -> str:
    """`CODE` for a network and the format of its file."""
    data, lines, resize = trained.config.data, usage.splitlines(), _resize_code(trained)
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return CODE.format(
        imports="\n".join(imports),
        pillow="Image, ImageOps" if "ImageOps" in resize else "Image",
        mode={1: "L", 3: "RGB"}[data.in_chans],
        resize=resize,
        size=data.img_size,
        mean=data.mean,
        std=data.std,
        network="\n".join(line for line in lines if line not in imports),
    )


def _resize_code(trained: Trained) -> str:
    """`_resize` by Pillow."""
    data, size = trained.config.data, trained.config.data.img_size
    method = f"Image.Resampling.{trained.config.recipe.interpolation.upper()}"
    if native := square(data):
        scaled = data.resize or native
        pad = (size - scaled) // 2
        lines = [f"image = ImageOps.fit(image, ({native}, {native}), Image.Resampling.BILINEAR)"]
        lines += [f"image = image.resize(({scaled}, {scaled}), Image.Resampling.BICUBIC)"] if scaled != native else []
        box = f"({-pad}, {-pad}, {size - pad}, {size - pad})"
        return "\n".join([*lines, f"image = image.crop({box})  # padded with zeros"] if scaled != size else lines)
    if size >= SQUASH_SIZE:
        return f"image = image.resize(({size}, {size}), {method})"
    return (
        f"width, height = ({int(size / data.crop_pct)} * side // min(image.size) for side in image.size)\n"
        f"image = image.resize((width, height), {method})\n"
        f"left, top = round((width - {size}) / 2), round((height - {size}) / 2)\n"
        f"image = image.crop((left, top, left + {size}, top + {size}))"
    )


def _written(value: Any) -> str:
    """A value for people."""
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _origin(trained: Trained) -> dict[str, str]:
    """How the network was made, and how good it is."""
    result, config = trained.result, trained.config
    step, ladder, images = config.step, config.study.ladder, result["test_images"]
    known = step.name in [each.name for each in steps(ladder=ladder)]
    changes = find(step.name, ladder=ladder).changes if known else {}
    changed = "; ".join(f"`{key}` from {before} to {after}" for key, (before, after) in changes.items())
    top1 = result["metrics"]["ema_top1" if trained.weights == "averaged" else "top1"]
    low, high = one_run(top1, images)
    of = f" of {config.data.name}" if dataset(config.data.name).named else ""
    return {
        "Step": f"`{step.name}`, {f'after `{step.parent}`' if step.parent else 'the start of the ladder'}",
        **({"Changes": changed} if changed else {}),
        "Study": f"`{config.study.name}`, seed {config.seed}, {trained.weights} weights",
        "Top-1": f"{top1:.2f} % of {images:,} test images "
        f"(95 % interval of one run on such a test set: {low:.2f} to {high:.2f} %)",
        "Training": f"{counted(result['epochs'], 'epoch')}{of}, recipe `{config.recipe.name}`, "
        f"commit {result.get('commit') or 'unknown'}",
        "License": f"MIT for the code that made it; for the weights also the terms of {_images(config.data)}",
    }


def _images(data: DataConfig) -> str:
    """The data set that weights are made from; a layout of files (imagefolder) is none."""
    return data.name if dataset(data.name).named else "the images they were trained with"


def _use(trained: Trained) -> dict[str, str]:
    """The network's size, input and output."""
    result, data = trained.result, trained.config.data
    (params, (count,)), (flops, (macs,)) = (column([result[key]], COUNTS) for key in ("params", "macs"))
    shape = f"(N, {data.in_chans}, {data.img_size}, {data.img_size})"
    return {
        "Size": f"{count} {params} parameters, {macs} {flops}FLOPs (multiply-adds)",
        "Input": f"{shape} float32: pixels of 0 to 1, minus {data.mean}, divided by {data.std}; {_resize(trained)}",
        "Output": f"(N, {data.num_classes}) logits; `config.json` has the names of the classes",
    }


def _resize(trained: Trained) -> str:
    """How an image becomes as large as the input."""
    data, recipe = trained.config.data, trained.config.recipe
    if native := square(data):
        scaled = f" (bilinear), then to {data.resize} (bicubic)" if data.resize not in (None, native) else ""
        return f"cropped to a square, resized to {native}{scaled} and padded with zeros to {data.img_size} pixels"
    if data.img_size >= SQUASH_SIZE:
        return f"the whole image resized to {data.img_size} x {data.img_size} pixels, {recipe.interpolation}"
    short = int(data.img_size / data.crop_pct)
    return (
        f"the short side resized to {short} pixels, {recipe.interpolation}, then the centre of {data.img_size} cropped"
    )

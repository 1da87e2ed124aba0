"""A finished run as a network to use: in eval mode, with its classes and the preprocessing of its test images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from roadmap import runs
from roadmap.config.schema import Config, DataConfig, RecipeConfig
from roadmap.data.batch_augment import normalize
from roadmap.data.datasets import dataset
from roadmap.data.decoding import as_rgb
from roadmap.data.imagenet import wnids
from roadmap.data.in_memory import fitted
from roadmap.errors import ConfigError, require
from roadmap.evals.weights import from_checkpoint
from roadmap.networks.weight_files import read


@dataclass(frozen=True)
class Trained:
    """The network of a finished run."""

    network: nn.Module  # (N, C, H, W) float32 -> (N, K) logits; in eval mode, on the CPU
    classes: list[str]  # K names, by label
    preprocess: Callable[[Image.Image], Tensor]  # an image of any size and mode -> (C, H, W) float32
    config: Config
    result: dict[str, Any]  # result.json: accuracy, cost, deviations, versions
    weights: str  # raw or averaged


def load(run: str | Path, *, ema: bool = False, overrides: Sequence[str] = ()) -> Trained:
    """The network of the run in a directory, with raw or averaged weights.

    `overrides` may change data.root and training.*. A ConfigError if the run is not finished there, a DataError if its
    checkpoint is missing or damaged.
    """
    directory = Path(run).expanduser()
    require((directory / runs.CONFIG).is_file(), "run", directory, f"the directory of a run, with its {runs.CONFIG}")
    result, path = runs.counted_result(directory), directory / runs.CHECKPOINT
    loaded = from_checkpoint(path, read(path), list(overrides), ema=ema)
    config = loaded.config
    return Trained(
        network=loaded.network.eval().requires_grad_(False),
        classes=class_names(config.data, result.get("classes")),
        preprocess=preprocessing(config.recipe, config.data),
        config=config,
        result=result,
        weights="averaged" if ema else "raw",
    )


def class_names(data: DataConfig, stored: Sequence[str] | None = None) -> list[str]:
    """Names of the classes by label: those stored with a run, else the data set's own, else numbers."""
    if data.name == "imagenet":
        from torchvision.models import ResNet50_Weights

        called = dict(zip(wnids(), ResNet50_Weights.DEFAULT.meta["categories"], strict=True))
        stored = [called.get(wnid, wnid) for wnid in stored or wnids()]
    names = list(stored or dataset(data.name).names or map(str, range(data.num_classes)))
    if len(names) != data.num_classes:  # more outputs than the data set has classes
        names += map(str, range(len(names), data.num_classes))
    return names


def preprocessing(recipe: RecipeConfig, data: DataConfig) -> Callable[[Image.Image], Tensor]:
    """The preprocessing of test images: any image -> (C, img_size, img_size) float32, normalized.

    For data held in memory, an image of another size than theirs is cropped to a square and resized to it.
    """
    if size := square(data):
        fit: Callable[[Image.Image], Any] = lambda image: fitted(_pixels(image, size)[None], data)[0]  # noqa: E731
    else:
        from roadmap.data.image_transforms import eval_pipeline

        fit = eval_pipeline(recipe, data)
    mode = {1: "L", 3: "RGB"}.get(data.in_chans)
    if mode is None:
        raise ConfigError(f"data.in_chans={data.in_chans}: allowed is 1 or 3 for images from files")
    return lambda image: normalize(torch.as_tensor(fit(as_rgb(image).convert(mode)))[None], data)[0]


def square(data: DataConfig) -> int:
    """The size in pixels that data in memory have before they are `fitted`; 0 for data that are read from files."""
    return dataset(data.name).size or ((data.resize or data.img_size) if data.in_memory else 0)


def _pixels(image: Image.Image, size: int) -> Tensor:
    """A square image as (C, size, size) uint8."""
    square = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(size, size, -1).permute(2, 0, 1)

"""Count how many test images a file of weights names right.

    python scripts/evaluate.py weights=runs/fashion_mnist/gelu/seed-0/checkpoint.pt
    python scripts/evaluate.py weights=convnext_tiny-983f1562.pth study=imagenet data.root=/path/to/imagenet

A run of ours is evaluated on its own data; data.root and training.* may be others. Files of torchvision, timm and the
paper's authors are recognised by what is in them. Images are resized bilinearly where layers are named as in
torchvision, else bicubically; torchvision's own files are known by their hash, resized as published and set beside the
published numbers. Exit code: 0 done, 2 refused.
"""

import argparse
import csv
import io
import math
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import track

from roadmap.checks import check, require
from roadmap.command import command
from roadmap.config import compose, parse, parse_overrides, to_dict, under
from roadmap.files import write_atomic
from roadmap.schema import Config, ConfigError


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="key=value", help="weights=FILE, and options as for train.py")
    parser.add_argument("--ema", action="store_true", help="of a run of ours, the averaged weights")
    parser.add_argument("--per-class", type=Path, metavar="FILE", help="write a CSV with the counts of each class")
    arguments = parser.parse_args()
    given = [word.removeprefix("weights=") for word in arguments.words if word.startswith("weights=")]
    words = [word for word in arguments.words if not word.startswith("weights=")]
    require(len(given) == 1, "weights", " ".join(given), "one file: weights=FILE")

    from roadmap.data.augment import evaluation_batches
    from roadmap.data.load import load
    from roadmap.training import weights
    from roadmap.training.evaluation import evaluate
    from roadmap.training.machine import set_up

    path = Path(given[0])
    content = weights.read(path)
    if "config_hash" in content:
        loaded, config = weights.from_checkpoint(path, content, ema=arguments.ema)
        config = elsewhere(config, words)
    else:
        require(not arguments.ema, "--ema", path, "for a checkpoint of ours")
        loaded = weights.from_file(path, content)
        given_keys = parse_overrides(words)
        options = [option for option in loaded.options if option.partition("=")[0] not in given_keys]
        config = compose([*options, *words])
    for key in ("num_classes", "in_chans"):
        here, known = getattr(config.data, key), getattr(loaded, key)
        require(here == known, f"data.{key}", here, f"{known}, as the weights have it")
    device = set_up(config)
    images = load(config, train=False).to(device)
    size = config.training.eval_batch_size
    console = Console(highlight=False, soft_wrap=True)
    resized = f"recipe.interpolation={config.recipe.interpolation} data.crop_pct={config.data.crop_pct:.4g}"
    console.print(f"{path}: {loaded.words}, {resized}")
    batches = track(
        evaluation_batches(images, config.data, size),
        total=math.ceil(len(images) / size),
        console=console,
        disable=not console.is_terminal,
    )
    (counts,) = evaluate([loaded.network.to(device)], batches, num_classes=config.data.num_classes)
    for name, right in (("top-1", counts.top1), ("top-5", counts.top5)):
        console.print(f"{name}: {right:,} of {counts.total:,} images, {100 * right / counts.total:.3f} %")
    if known := weights.published(path):
        accuracy = known.meta["_metrics"]["ImageNet-1K"]
        console.print(f"published by torchvision for {known}: {accuracy['acc@1']} % and {accuracy['acc@5']} %")
    if arguments.per_class:
        text = io.StringIO()
        csv.writer(text).writerow(("class", "images", "top1", "top5"))
        csv.writer(text).writerows((number, *row) for number, row in enumerate(counts.by_class.tolist()))
        write_atomic(arguments.per_class, text.getvalue())
    return 0


def elsewhere(config: Config, words: list[str]) -> Config:
    """The configuration of a run, with its data at another place or carried out in another way.

    Raises:
        ConfigError: words for anything else.
    """
    for key in parse_overrides(words):
        require(
            under(key, ("data.root", "training")), key, " ".join(words), "data.root and training.* for a run of ours"
        )
    changed = OmegaConf.merge(to_dict(config), OmegaConf.from_dotlist(words))
    try:
        moved = parse(cast(dict[str, Any], OmegaConf.to_container(changed)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(words)}: {str(error).splitlines()[0]}") from error
    check(moved)
    return moved


if __name__ == "__main__":
    command(main)

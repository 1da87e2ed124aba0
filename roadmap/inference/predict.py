"""The command `predict`: the likeliest classes of images."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap import cli
from roadmap.errors import DataError, printable, require
from roadmap.runs import CONFIG

if TYPE_CHECKING:
    from PIL import Image

    from roadmap.inference.trained import Trained

OPTIONS = {"run": "", "ema": "false", "top": "5"}
Guess = tuple[str, float]  # class and probability


def main(words: list[str]) -> int:
    """Name the likeliest classes of images, by the network of a finished run.

        python scripts/predict.py run=runs/fashion_mnist/gelu/seed-0 shoe.png shirt.jpg
        python scripts/predict.py run=runs/photos/gelu/seed-0 ema=true top=1 folder

    Every other word is an image or a folder of images, or an option of training.* (training.device=cpu). The images are
    prepared as the test images of the run. Prints a line per image.
    Exit code: 0 success, 1 an image cannot be read, 2 refused.
    """
    places = [word for word in words if "=" not in word or Path(word).expanduser().exists()]
    own, overrides = cli.split((word for word in words if word not in places), OPTIONS, sweep=False)
    given = cli.options(own, OPTIONS)
    run = next((f": write run={each}" for each in places if (Path(each).expanduser() / CONFIG).is_file()), "")
    require(bool(given["run"]), "run", "", f"the directory of a finished run{run}")
    require(bool(places), "predict", "", "images or folders after run=DIRECTORY")
    top, ema = cli.whole(given, "top"), cli.flag(given, "ema")
    paths = [path for place in places for path in images_at(Path(place).expanduser())]

    from roadmap.data.decoding import open_image, raise_shortage, reason
    from roadmap.inference.trained import load
    from roadmap.networks.device import set_up

    trained, unread = load(given["run"], ema=ema, overrides=overrides), 0
    trained.network.to(set_up(trained.config))
    for path in paths:
        try:
            with open_image(path.read_bytes()) as image:
                (guesses,) = predict(trained, [image], top=top)
        except Exception as error:  # Pillow's decoders raise nearly any type
            raise_shortage(error, str(path))
            print(printable(f"{path}: {reason(error)}"), file=sys.stderr)
            unread += 1
            continue
        print(printable(f"{path}: {', '.join(f'{name} {100 * share:.1f} %' for name, share in guesses)}"))
    return 1 if unread else 0


def predict(trained: "Trained", images: "Iterable[Image.Image]", *, top: int = 5) -> Iterator[list[Guess]]:
    """The `top` likeliest classes of each image, with their probabilities, the likeliest first."""
    import torch

    device = next(trained.network.parameters()).device
    for image in images:
        with torch.inference_mode():
            shares = trained.network(trained.preprocess(image)[None].to(device)).softmax(1)[0]
        best = shares.topk(min(top, len(shares)))
        yield [(trained.classes[label], share) for share, label in zip(*map(torch.Tensor.tolist, best), strict=True)]


def images_at(place: Path) -> list[Path]:
    """The image at a path, or all images in a folder; a DataError if there is none."""
    from roadmap.data.folders import image_paths

    found = [Path(path) for path in image_paths(place)] if place.is_dir() else [place] if place.is_file() else []
    if not found:
        raise DataError(f"{place}: no image")
    return found

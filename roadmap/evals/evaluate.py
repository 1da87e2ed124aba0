"""The command `evaluate`."""

from pathlib import Path

from roadmap import cli
from roadmap.data.datasets import TEST_SETS, dataset
from roadmap.errors import require
from roadmap.terminal import Terminal

OPTIONS = {"weights": "", "ema": "false", "per_class": ""}


def main(words: list[str]) -> int:
    """Evaluate the network in a file of weights: top-1 and top-5 accuracy, or the mean corruption error.

        python scripts/evaluate.py weights=runs/fashion_mnist/gelu/seed-0/checkpoint.pt
        python scripts/evaluate.py weights=runs/fashion_mnist/gelu/seed-0/checkpoint.pt ema=true
        python scripts/evaluate.py weights=convnext_tiny-983f1562.pth study=imagenet data.root=/path/to/imagenet
        python scripts/evaluate.py weights=convnext_tiny-983f1562.pth study=imagenet data.root=/path/to/imagenette2
        python scripts/evaluate.py weights=convnext_tiny-983f1562.pth data=imagenet_r data.root=/path/to/imagenet-r

    weights=FILE is the checkpoint of a run, or a file of torchvision, timm or the paper's authors, recognised by its
    content; also the checkpoint of a trainer, with the weights inside it. With ema=true, the average of the weights is
    taken, where the file has one. No code in a file is run. per_class=FILE writes a CSV with the counts of each class.
    All other words are options as for train.py.

    A run is evaluated on its own data. Its data.root and training.* may be changed and, for a run on ImageNet, data
    may be one of ImageNet's test sets: imagenet_v2, imagenet_a, imagenet_r, imagenet_sketch, imagenet_c.

    Of ImageNet only the validation images are needed: val/<wnid>/ with all classes or some of them, or the images side
    by side with the devkit or with Kaggle's LOC_val_solution.csv. Images of some of the classes are scored among all
    classes and among these. Where weights and images name their classes, labels are matched by name.

    For other files, images are resized bilinearly if layers are named as in torchvision, else bicubically.
    torchvision's own files are known by their hash: images are resized as published, and the published accuracy is
    printed too.

    Exit code: 0 success, 1 folders of ImageNet-C are missing and so is the mean, 2 refused.
    """
    own, overrides = cli.split(words, OPTIONS, sweep=False)
    given = cli.options(own, OPTIONS)
    files = [word for word in words if word.startswith("weights=")]
    require(len(files) == 1 and bool(given["weights"]), "weights", " ".join(files), "one file: weights=FILE")
    ema = cli.flag(given, "ema")

    from roadmap.data.loader import load
    from roadmap.evals import weights
    from roadmap.evals.accuracy import accuracy
    from roadmap.evals.corruptions import corruption_errors
    from roadmap.networks.device import set_up
    from roadmap.networks.weight_files import read

    path = Path(given["weights"]).expanduser()
    content = read(path)
    if weights.is_checkpoint(content):
        loaded = weights.from_checkpoint(path, content, overrides, ema=ema)
    else:
        loaded = weights.from_file(path, content, overrides, ema=ema)
    config = loaded.config
    name, root, table = config.data.name, Path(config.data.root).expanduser(), given["per_class"]
    there = root.is_dir() or not dataset(name).class_folders
    require(there, "data.root", config.data.root, f"a folder that exists, with {name}")
    corrupted = name == "imagenet_c"
    require(not (corrupted and table), "per_class", table, "for one set of images, not imagenet_c")
    device, console = set_up(config), Terminal()
    images = (
        None if corrupted else load(config, train=False, classes=loaded.classes).to(device)
    )  # refused before anything is printed
    resizing = f"recipe.interpolation={config.recipe.interpolation} data.crop_pct={config.data.crop_pct:.4g}"
    console.print(f"{path}: {loaded.description}, {resizing}")
    for note in images.notes if images else ():
        console.print(note)
    network = loaded.network.to(device)
    if images is None:
        metrics = corruption_errors(network, config, device, console=console)
    else:
        per_class = Path(table).expanduser() if table else None
        metrics = accuracy(network, config, images, console=console, per_class=per_class)
    names = []
    for metric in metrics:
        console.print(metric.text)
        names.append(metric.name)
    if (known := weights.published(path)) and name not in TEST_SETS and not any("among" in name for name in names):
        published = known.meta["_metrics"]["ImageNet-1K"]
        console.print(f"published by torchvision for {known}: {published['acc@1']} % and {published['acc@5']} %")
    return 1 if corrupted and "mce" not in names else 0

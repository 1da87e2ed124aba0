"""The command `export`: a trained network as one file for other programs, checked against it on real images."""

import io
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap import cli
from roadmap.errors import ConfigError, DataError, require
from roadmap.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

    from roadmap.inference.trained import Trained

OPTIONS = {"run": "", "to": "safetensors", "out": "", "ema": "false"}
CHECKED = 64  # test images
TOLERANCE = 1e-4  # of a logit, relative to the largest
CARD, SETTINGS = "README.md", "config.json"
INPUT, OUTPUT = "images", "logits"  # names in an ONNX file
Network = Callable[["Tensor"], "Tensor"]


def main(words: list[str]) -> int:
    """Export the network of a finished run as one file, with a model card, and check the file on test images.

        python scripts/export.py run=runs/fashion_mnist/gelu/seed-0                  weights: model.safetensors
        python scripts/export.py run=runs/fashion_mnist/gelu/seed-0 to=onnx          network and weights: model.onnx
        python scripts/export.py run=runs/fashion_mnist/gelu/seed-0 to=torch_export out=exported ema=true    model.pt2

    Writes the file, README.md (the card) and config.json (classes and preprocessing) to out=, by default RUN/export.
    The file is read again and must give the logits of the network on the run's first test images, or nothing is
    written; data.root=... says where they are now. A network in a file takes batches of any number of images.
    Exit code: 0 success, 1 the file differs from the network, 2 refused.
    """
    own, overrides = cli.split(words, OPTIONS, sweep=False)
    given = cli.options(own, OPTIONS)
    require(bool(given["run"]), "run", "", "the directory of a finished run")
    target, ema = FORMATS[cli.choice(given, "to", list(FORMATS))], cli.flag(given, "ema")
    if missing := [name for name in target.needs if find_spec(name) is None]:
        remedy = "pip install 'convnet-roadmap[export]', or -e '.[export]' in this directory"
        raise ConfigError(f"to={given['to']}: it needs {', '.join(missing)}: {remedy}")

    from roadmap.inference.card import card, settings
    from roadmap.inference.trained import load

    trained = load(given["run"], ema=ema, overrides=overrides)
    images = sample(trained, CHECKED)
    content = target.dump(trained, images)
    difference, largest = disagreement(target.restore(trained, content), trained.network, images)
    checked = (
        f"largest difference of a logit on {len(images)} test images: {difference:.1e} (logits up to {largest:.3g})"
    )
    if difference > TOLERANCE * max(1.0, largest):
        print(f"{target.file}: not written: it differs from the network: {checked}")
        return 1
    out = Path(given["out"] or Path(given["run"]) / "export").expanduser()
    out.mkdir(parents=True, exist_ok=True)
    described = settings(trained) | {"format": given["to"], "file": target.file}
    for name, each in (
        (target.file, content),
        (SETTINGS, json.dumps(described, indent=1) + "\n"),
        (CARD, card(trained, file=target.file, usage=target.usage, checked=checked)),
    ):
        write_atomic(out / name, each)
    print(f"{out / target.file}: {len(content) / 1e6:.1f} MB, {checked}")
    return 0


def sample(trained: "Trained", most: int) -> "Tensor":
    """The first test images of a run, as the network takes them: (N, C, H, W)."""
    from dataclasses import replace

    from roadmap.data.loader import evaluation_batches, load

    config = trained.config
    data = replace(config.data, max_test=min(most, config.data.max_test or most))
    images = load(replace(config, data=data), train=False)
    if not len(images):
        raise DataError(f"{config.data.root}: no test images to check the file with")
    return next(iter(evaluation_batches(images, data, most)))[0]


def disagreement(exported: Network, network: Network, images: "Tensor") -> tuple[float, float]:
    """The largest difference of a logit on images, in batches of all of them and of one, and the largest logit."""
    import torch

    with torch.inference_mode():
        pairs = [(exported(x), network(x)) for x in (images.contiguous(), images[:1].contiguous())]
    differences = [(a - b).abs().max().item() if a.shape == b.shape else torch.inf for a, b in pairs]
    return max(differences), pairs[0][1].abs().max().item()


def dump_safetensors(trained: "Trained", _images: "Tensor") -> bytes:
    """The state dict, by this project's names of layers."""
    from safetensors.torch import save

    state = {key: value.contiguous() for key, value in trained.network.state_dict().items()}
    return save(state, metadata={"format": "pt", "step": trained.config.step.name})


def restore_safetensors(trained: "Trained", content: bytes) -> Network:
    """A new network with the weights in a file."""
    from safetensors.torch import load

    from roadmap.networks.ladder import build

    data = trained.config.data
    network = build(trained.config.model, num_classes=data.num_classes, in_chans=data.in_chans)
    network.load_state_dict(load(content))
    return network.eval()


def dump_torch_export(trained: "Trained", images: "Tensor") -> bytes:
    """An archive of torch.export, which torch runs without this project's code."""
    import torch

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the archive's own layout
        torch.export.save(_program(trained, images), stream)
    return stream.getvalue()


def restore_torch_export(_trained: "Trained", content: bytes) -> Network:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the archive's own layout
        network: Network = torch.export.load(io.BytesIO(content)).module()
    return network


def dump_onnx(trained: "Trained", images: "Tensor") -> bytes:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and onnxscript about each other
        program = torch.onnx.export(
            _program(trained, images), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def restore_onnx(_trained: "Trained", content: bytes) -> Network:
    """The file in ONNX Runtime."""
    import torch
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])


def _program(trained: "Trained", images: "Tensor") -> Any:
    """The network as a graph for batches of any size."""
    import torch

    dynamic = {"x": {0: torch.export.Dim.DYNAMIC}}
    return torch.export.export(trained.network, (images[:1].repeat(2, 1, 1, 1),), dynamic_shapes=dynamic)


@dataclass(frozen=True)
class Format:
    """A kind of file, and how it is written, read again, and used."""

    file: str
    dump: Callable[["Trained", "Tensor"], bytes]
    restore: Callable[["Trained", bytes], Network]
    usage: str  # Python after `card.CODE` has made x and settings; its imports first
    needs: tuple[str, ...] = ()


FORMATS = {
    "safetensors": Format(
        "model.safetensors", dump_safetensors, restore_safetensors,
        "import torch\nfrom safetensors.torch import load_file\n"
        "from roadmap.config.schema import ModelConfig\nfrom roadmap.networks.ladder import build\n"
        'model, channels = ModelConfig(**settings["model"]), settings["input"]["channels"]\n'
        'network = build(model, num_classes=len(settings["classes"]), in_chans=channels).eval()\n'
        'network.load_state_dict(load_file(folder / "model.safetensors"))\n'
        "logits = network(torch.from_numpy(x))",
    ),
    "onnx": Format(
        "model.onnx", dump_onnx, restore_onnx,
        'import onnxruntime\nsession = onnxruntime.InferenceSession(folder / "model.onnx")\n'
        'logits = session.run(["logits"], {"images": x})[0]',
        needs=("onnx", "onnxscript", "onnxruntime"),
    ),
    "torch_export": Format(
        "model.pt2", dump_torch_export, restore_torch_export,
        'import torch\nnetwork = torch.export.load(folder / "model.pt2").module()\n'
        "logits = network(torch.from_numpy(x))",
    ),
}  # fmt: skip
"""The formats by the value of `to`."""

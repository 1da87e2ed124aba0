"""Other libraries' weights: strict both ways, the same outputs, and counted on photographs."""

import csv
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from helpers.photographs import plant
from helpers.smoke import evaluate
from helpers.to_library import to_library
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor, nn

from roadmap import runs
from roadmap.config.steps import model_config
from roadmap.errors import ConfigError
from roadmap.networks.convert import LAYOUTS, from_library, library_names, recognise
from roadmap.networks.costs import family_config
from roadmap.networks.ladder import build

TINY: dict[str, Any] = {"depths": [1, 2, 3, 1]}


def small_peer(step: str, library: str) -> nn.Module:
    """A library's own network at a size for tests: depths 1, 2, 3, 1 and width 64 or 16."""
    if step == "resnet":
        models = torchvision.models if library == "torchvision" else timm.models
        return models.ResNet(models.resnet.Bottleneck, [1, 2, 3, 1])
    if library == "torchvision":
        setting = torchvision.models.convnext.CNBlockConfig
        blocks = [setting(16 << i, (32 << i) if i < 3 else None, n) for i, n in enumerate(TINY["depths"])]
        return torchvision.models.ConvNeXt(blocks)
    return timm.models.ConvNeXt(depths=TINY["depths"], dims=[16, 32, 64, 128])


def shaken(network: nn.Module) -> nn.Module:
    """No value that two networks would have by default."""
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    return network.double().eval()


def state_of(step: str, library: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A peer, and its weights as the library names them; the authors' names are what timm turns into its own."""
    peer = shaken(small_peer(step, library))
    if library != "authors":
        return peer, peer.state_dict()
    model = replace(model_config(step), width=16, **TINY)
    ours = from_library(peer.state_dict(), "timm", step=step, model=model)
    theirs = to_library(ours, "authors", step=step, model=model)
    peer.load_state_dict(checkpoint_filter_fn({"model": theirs}, peer))  # strictly
    return peer, theirs


@pytest.mark.parametrize(("step", "library"), LAYOUTS)
def test_every_librarys_weights_give_its_own_outputs_and_are_mapped_strictly_both_ways(step: str, library: str) -> None:
    peer, theirs = state_of(step, library)
    found = recognise(theirs)
    assert (found.step, found.model.depths, found.num_classes, found.in_chans) == (step, TINY["depths"], 1000, 3)
    assert found.library == ("torchvision" if step == "resnet" else library)
    ours = build(found.model, num_classes=1000, in_chans=3).double().eval()
    ours.load_state_dict(from_library(theirs, library, step=step, model=found.model))
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(ours(x), peer(x), rtol=1e-9, atol=1e-9)
    back = to_library(ours.state_dict(), library, step=step, model=found.model)
    assert sorted(back) == sorted(theirs)
    assert all(torch.equal(back[key], theirs[key]) for key in theirs)
    with pytest.raises(KeyError, match="missing"):
        from_library(dict(list(theirs.items())[1:]), library, step=step, model=found.model)
    with pytest.raises(KeyError, match="not expected: extra"):
        from_library({**theirs, "extra": torch.zeros(1)}, library, step=step, model=found.model)


def test_the_names_are_those_of_the_released_sizes() -> None:
    with torch.device("meta"):
        for name in ("convnext_tiny", "convnext_base"):  # the larger ones have no other depths
            for library, create in (("timm", timm.create_model), ("torchvision", torchvision.models.get_model)):
                names = library_names(library, step="layer_scale", model=family_config(name))
                assert set(names.values()) == create(name).state_dict().keys()
        for depths, name in (([3, 4, 6, 3], "resnet50"), ([3, 4, 23, 3], "resnet101")):
            names = library_names("timm", step="resnet", model=replace(model_config("resnet"), depths=depths))
            assert set(names.values()) == timm.create_model(name).state_dict().keys()


def test_what_is_no_counterpart_is_refused() -> None:
    with pytest.raises(ConfigError, match="step=gelu of timm: allowed is one of resnet of torchvision, resnet of "):
        from_library({}, "timm", step="gelu", model=model_config("gelu"))
    with pytest.raises(KeyError, match="not the weights of a ResNet with bottlenecks or of a ConvNeXt"):
        recognise({"stem.weight": torch.zeros(1)})


def test_files_are_evaluated_to_the_counts_of_the_librarys_own_network(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", train=1, val=3)
    peer = shaken(timm.models.ConvNeXt(num_classes=4, depths=TINY["depths"], dims=[16, 32, 64, 128])).float()
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    words = [f"weights={tmp_path / 'weights.pth'}", "study=photos", f"data.root={root}", "data.num_classes=4"]
    output = evaluate(*words, f"per_class={tmp_path / 'classes.csv'}")
    transform = timm.data.create_transform(224, interpolation="bicubic")
    images, classes = zip(*torchvision.datasets.ImageFolder(str(root / "val"), transform), strict=True)
    with torch.no_grad():
        guesses = peer(torch.stack(images)).argmax(1)
    right = int((guesses == torch.tensor(classes)).sum())
    assert f"top-1: {right} of 12 images" in output and "top-5: 12 of 12 images" in output
    assert "depths 1, 2, 3, 1 and width 16, layers named as in timm, recipe.interpolation=bicubic" in output
    assert "recipe.interpolation=bilinear" in evaluate(*words, "recipe.interpolation=bilinear")
    rows = list(csv.DictReader((tmp_path / "classes.csv").read_text().splitlines()))
    assert [int(row["images"]) for row in rows] == [3] * 4
    assert sum(int(row["top1"]) for row in rows) == right


def test_a_checkpoint_of_ours_is_evaluated_to_its_result(undisturbed: Path, data_root: Path) -> None:
    result, checkpoint = runs.read_result(undisturbed / runs.RESULT), f"weights={undisturbed / runs.CHECKPOINT}"
    for option, key in (((f"data.root={data_root}", "training.threads=2"), "top1"), (("ema=true",), "ema_top1")):
        output = evaluate(checkpoint, *option)
        assert f"top-1: {result['counts'][key]} of {result['test_images']} images" in output
    said = "allowed is data.root and training.* for a checkpoint of a run"
    for word in ("data.max_test=10", "study=photos"):
        assert evaluate(checkpoint, word, f"data.root={data_root}", code=2) == f"evaluate: {word}: {said}\n"
    output = evaluate(checkpoint, "training.threads=many", code=2)
    assert "training.threads=many: Value 'many'" in output and "Traceback" not in output


def test_what_is_counted_on_is_looked_for_first_and_told_of_without_a_terminal(
    undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = evaluate(f"weights={undisturbed / runs.CHECKPOINT}", f"data.root={tmp_path}", code=2)
    assert len(gone.splitlines()) == 1 and "t10k" in gone, "nothing is said of the weights before the images are there"
    tiny_convnext = timm.models.ConvNeXt(num_classes=4, depths=(1, 1, 1, 1), dims=(8, 16, 32, 64)).state_dict()
    torch.save(tiny_convnext, tmp_path / "weights.pth")
    words = [f"weights={tmp_path / 'weights.pth'}", "study=photos", f"data.root={tmp_path / 'a (b)'}"]
    gone = evaluate(*words, "data.num_classes=4", code=2)
    assert gone == f"evaluate: data.root={tmp_path / 'a (b)'}: allowed is a folder that exists, with imagefolder\n"
    monkeypatch.setattr("time.monotonic", iter(range(0, 1_000_000, 61)).__next__)
    said = evaluate(f"weights={undisturbed / runs.CHECKPOINT}", f"data.root={data_root}", "training.eval_batch_size=35")
    assert "1 of 2 batches\n2 of 2 batches\n" in said


def test_what_is_no_file_of_weights_is_refused_in_a_line(tmp_path: Path) -> None:
    resnet, blocks = torchvision.models.ResNet, torchvision.models.resnet
    resnext = resnet(blocks.Bottleneck, [1] * 4, groups=32, width_per_group=4)
    convnext = timm.models.ConvNeXt(num_classes=1000, depths=(1, 1, 1, 1), dims=(8, 16, 32, 64)).state_dict()
    no_weights, code = "not a file of weights", "it holds code or a whole model, which is not loaded: save"
    for name, content, message in (
        ("torn.pth", b"torn", f"torn.pth: {no_weights}, or a damaged one"),
        ("empty.pth", b"", f"empty.pth: {no_weights}: it is empty"),
        ("text.pth", b"hello there", f"text.pth: {no_weights}, or a damaged one"),
        ("code.pkl", pickle.dumps(print), f"code.pkl: {code}"),
        ("whole.pth", nn.Linear(1, 1), f"whole.pth: {code}"),
        ("other.pth", {"a": torch.zeros(1)}, "other.pth: not the weights of a ResNet with bottlenecks"),
        ("basic.pth", resnet(blocks.BasicBlock, [1] * 4).state_dict(), "basic.pth: not the weights of a ResNet"),
        ("resnext.pth", resnext.state_dict(), "size mismatch for stages.0.0.branch.pw_hidden.weight"),
        ("wide.pth", convnext, "data.num_classes=10: allowed is 1000, as in the weights; for ImageNe"),
        ("more.pth", convnext | {"extra": torch.zeros(1)}, "more.pth: not expected: extra (1 in all)"),
        ("none.pth", None, "none.pth: No such file or directory"),
    ):
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif content:
            torch.save(content, tmp_path / name)
        output = evaluate("study=smoke", f"weights={tmp_path / name}", code=2)
        assert message in output and "Traceback" not in output and "weights_only" not in output, output
    assert "weights=: allowed is one file: weights=FILE" in evaluate("study=smoke", code=2)

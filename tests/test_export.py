"""Exported networks: the file gives the network's logits on real images, and the card says what it is."""

import json
import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.photographs import photograph, small
from helpers.smoke import inside, prepared
from safetensors.torch import load_file

import roadmap
from roadmap import runs
from roadmap.config.schema import ModelConfig
from roadmap.inference import export
from roadmap.inference.card import card, settings
from roadmap.inference.trained import preprocessing
from roadmap.networks.ladder import build
from roadmap.training.run import execute


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """The directory of a finished run of a network of two blocks, which exports in seconds."""
    directory = prepared(tmp_path_factory.mktemp("shallow"), data_root, "model.depths=[1,1]", "budget.epochs=1")
    execute(directory)
    return directory


def exported(run: Path, out: Path, *words: str, code: int = 0) -> str:
    found, said = inside("scripts/export.py", f"run={run}", f"out={out}", *words)
    assert found == code and "Traceback" not in said, said
    return said


def test_safetensors_hold_the_weights_and_the_card_says_what_they_are(undisturbed: Path, tmp_path: Path) -> None:
    said = exported(undisturbed, tmp_path)
    difference = re.search(r"model\.safetensors: 0\.5 MB, largest difference of a logit on 64 test images: (\S+)", said)
    assert difference and float(difference[1]) < 1e-6
    trained, settings = roadmap.load(undisturbed), json.loads((tmp_path / "config.json").read_text())
    network = build(ModelConfig(**settings["model"]), num_classes=len(settings["classes"]), in_chans=1).eval()
    network.load_state_dict(load_file(tmp_path / "model.safetensors"))
    x = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(network(x), trained.network(x), rtol=0, atol=1e-6)
    card, top1 = (tmp_path / "README.md").read_text(), trained.result["metrics"]["top1"]
    for text in (
        "`gelu`, after `large_kernel`",
        f"{top1:.2f} % of 70 test images (95 % interval",
        "MIT",
        "raw weights",
    ):
        assert text in card
    assert "| `recipe.epochs` | 2 | 300 |" in card and "| `data.max_test` | 70 | none |" in card
    assert "| `recipe.ratio` | 0.9375, 1.083 | 0.75, 1.333 |" in card
    assert "`model.act` from relu to gelu" in card
    exported(undisturbed, tmp_path, "ema=true")
    assert not torch.equal(load_file(tmp_path / "model.safetensors")["head.linear.weight"], network.head.linear.weight)
    assert "averaged weights" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("to", ["torch_export", "onnx"])
def test_a_file_with_the_network_gives_its_logits_for_any_number_of_images(
    shallow: Path, tmp_path: Path, to: str
) -> None:
    target = export.FORMATS[to]
    if missing := [name for name in target.needs if find_spec(name) is None]:
        pytest.skip(f"needs {missing}")
    exported(shallow, tmp_path, f"to={to}")
    trained = roadmap.load(shallow)
    network = target.restore(trained, (tmp_path / target.file).read_bytes())
    for count in (1, 5):
        x = torch.randn(count, 1, 32, 32)
        torch.testing.assert_close(network(x), trained.network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("to", [*export.FORMATS])
def test_the_code_of_a_card_runs_as_pasted_from_an_image_to_its_class(
    shallow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    trained, target = roadmap.load(shallow), export.FORMATS[to]
    if any(find_spec(name) is None for name in target.needs):  # then ONNX Runtime's two calls are replaced
        run = lambda _names, feed: [trained.network(torch.from_numpy(feed["images"])).numpy()]  # noqa: E731
        runtime = SimpleNamespace(InferenceSession=lambda path: SimpleNamespace(path=path, run=run))
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    else:
        (tmp_path / target.file).write_bytes(target.dump(trained, export.sample(trained, 2)))
    (tmp_path / "config.json").write_text(json.dumps(settings(trained)))
    image = photograph("coffee")
    image.save(tmp_path / "image.png")
    wanted = trained.preprocess(image)
    text = card(trained, file=target.file, usage=target.usage, checked="")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], found)
    torch.testing.assert_close(torch.from_numpy(found["x"])[0], wanted, rtol=0, atol=1e-5)
    name = trained.classes[int(trained.network(wanted[None]).argmax())]
    assert capsys.readouterr().out == f"{name}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["data.img_size=384"],
        ["data.in_memory=true", "data.resize=24"],
        ["data.in_memory=true", "recipe.interpolation=bilinear"],
    ],
)
def test_the_code_of_a_card_prepares_photographs_as_the_run_did(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    config = small(["data.num_classes=10", *words])
    trained = replace(roadmap.load(undisturbed), config=config)
    (tmp_path / "config.json").write_text(json.dumps(settings(trained)))
    (image := photograph("coffee").crop((0, 0, 301, 215))).save(tmp_path / "image.png")
    text = card(trained, file="", usage="logits = x[0, 0, 0, :10]", checked="")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], found)
    wanted = preprocessing(config.recipe, config.data)(image)
    torch.testing.assert_close(torch.from_numpy(found["x"])[0], wanted, rtol=0, atol=1e-5)
    assert "2 epochs, recipe `modern`" in text
    assert "for the weights also the terms of the images they were trained with\n" in text


def test_a_file_that_differs_from_the_network_is_not_written(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "disagreement", lambda *_: (0.01, 1.0))
    said = exported(undisturbed, tmp_path / "out", code=1)
    assert "not written: it differs from the network: largest difference of a logit on 64 test images: 1.0e-02" in said
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_refused_in_a_line(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    said = exported(undisturbed, tmp_path, "to=onnx", code=2)
    assert "to=onnx: it needs onnx, onnxscript, onnxruntime: pip install 'convnet-roadmap[export]'" in said
    assert "to=onx: allowed is one of safetensors onnx torch_export" in exported(
        undisturbed, tmp_path, "to=onx", code=2
    )
    assert "t10k-images" in exported(undisturbed, tmp_path, f"data.root={tmp_path}", code=2)
    assert [*tmp_path.iterdir()] == [] and not (undisturbed / "export").exists()
    assert runs.finished(undisturbed)

"""What only a GPU can show."""

import copy
import json
from pathlib import Path

import pytest
import torch
from smoke import computed, interrupt, script, tiny, words

from roadmap import runs
from roadmap.config import compose
from roadmap.model.create import build
from roadmap.steps import steps
from roadmap.training.run import execute

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
RUNGS = [rung.name for rung in steps()]
PHOTOGRAPHS = ["data.img_size=224", "data.max_train=128", "data.max_test=64", "regime=resnet50", "budget.epochs=1"]


@pytest.mark.parametrize("step", RUNGS)
def test_its_gradients_are_those_of_the_cpu(step: str) -> None:
    config = compose([f"+step={step}"] if step != "resnet" else [])
    torch.manual_seed(0)
    network = build(config.model, num_classes=10, in_chans=1).double()
    images, found = torch.randn(4, 1, 32, 32, dtype=torch.float64), []
    for device in ("cpu", "cuda"):
        there = copy.deepcopy(network).to(device)
        there(images.to(device)).square().mean().backward()
        found.append(torch.cat([p.grad.flatten().cpu() for p in there.parameters() if p.grad is not None]))
    assert (found[0] - found[1]).norm() < 1e-9 * found[0].norm()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("step", ["resnet", "gelu", "layer_scale"])
def test_stopped_and_started_again_it_ends_with_the_same_bits(
    step: str, precision: str, tmp_path: Path, data_root: Path
) -> None:
    own = [f"recipe.precision={precision}", "training.device=cuda", *([f"+step={step}"] if step != "resnet" else [])]
    whole, stopped = (runs.prepare(tiny(tmp_path / name, data_root, *own)) for name in ("whole", "stopped"))
    execute(whole)
    interrupt(stopped, 3)
    execute(stopped)
    assert computed(stopped) == computed(whole)
    saved = [torch.load(path / runs.CHECKPOINT, weights_only=True)["model"] for path in (whole, stopped)]
    assert all(torch.equal(a, b) for a, b in zip(saved[0].values(), saved[1].values(), strict=True))


@pytest.mark.parametrize("step", ["large_kernel", "layer_scale"])
def test_what_is_compiled_computes_the_same(step: str, tmp_path: Path, data_root: Path) -> None:
    losses = []
    for name, words_of_it in (("eager", []), ("compiled", ["training.compile=true"])):
        process = script("train.py", *words(tmp_path / name, data_root, f"+step={step}", *words_of_it))
        output, _ = process.communicate()
        assert process.returncode == 0, output
        result = runs.read_result(tmp_path / name / "tiny" / step / "seed-0" / runs.RESULT)
        losses.append(result["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize(
    ("step", "limit", "said"),
    [("gelu", 12, "computed twice"), ("separate_downsampling", 6, "images at a time")],
    ids=["whole", "divided"],  # the words are looked for in what names the directory
)
def test_it_keeps_to_what_is_stated(step: str, limit: float, said: str, tmp_path: Path, data_root: Path) -> None:
    peaks = []
    own = ["budget.batch_size=128", "budget.bn_batch_size=128", *PHOTOGRAPHS]
    for name, gb in (("free", "null"), ("kept", str(limit))):
        process = script(
            "train.py", *words(tmp_path / name, data_root, f"+step={step}", *own, f"training.memory_gb={gb}")
        )
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert (said in output) == (name == "kept")
        metrics = (tmp_path / name / "tiny" / step / "seed-0" / runs.METRICS).read_text().splitlines()
        peaks.append(json.loads(metrics[-1])["peak_memory_mb"])
    assert peaks[1] < 1000 * limit < peaks[0], peaks

"""What only a GPU can show."""

import copy
from pathlib import Path

import pytest
import torch
from helpers.photographs import plant
from helpers.smoke import computed, interrupt, keeps_to, tiny, trained

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.steps import steps
from roadmap.data.loader import load
from roadmap.networks.ladder import build
from roadmap.training.run import execute

pytestmark = pytest.mark.gpu
PHOTOGRAPHS = ["data.img_size=224", "data.max_train=128", "data.max_test=64", "budget.epochs=1"]


@pytest.mark.parametrize("step", [step.name for step in steps()])
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
    made = [trained(tmp_path / on, data_root, step, f"training.compile={on}")[0] for on in ("false", "true")]
    eager, compiled = (runs.read_result(each / runs.RESULT)["metrics"]["train_loss"] for each in made)
    assert compiled == pytest.approx(eager, rel=1e-3)


@pytest.mark.parametrize(
    ("step", "limit", "said"),
    [("gelu", 0.8, "gradient checkpointing"), ("separate_downsampling", 0.6, "chunks of")],
    ids=["whole", "divided"],  # the words are looked for in what names the directory
)
def test_it_keeps_to_what_is_stated(step: str, limit: float, said: str, tmp_path: Path, data_root: Path) -> None:
    own = ["budget.batch_size=128", "budget.bn_batch_size=128", *PHOTOGRAPHS]
    keeps_to(limit, said, tmp_path, data_root, step, *own)


def test_files_reach_it_as_they_are(tmp_path: Path) -> None:
    words = ["study=photos", f"data.root={plant(tmp_path)}", "data.num_classes=4", "training.workers=2"]
    photos, places = load(compose(words), train=True), torch.arange(32).split(8)
    here, there = (list(each.batches(places, seed=0)) for each in (photos, photos.to(torch.device("cuda"))))
    for (x, t), (y, u) in zip(here, there, strict=True):
        assert y.is_cuda and torch.equal(x, y.cpu()) and torch.equal(t, u.cpu())

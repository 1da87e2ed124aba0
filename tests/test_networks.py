"""The networks of the ladder: equality with torchvision, training, and steps that change only what they declare."""

import pytest
import torch
import torchvision
from helpers.to_library import to_library
from torch import nn
from torch.nn import functional as F

import roadmap
from benchmarks.measure import baseline
from roadmap.config import compose as configuration
from roadmap.config.steps import model_config, regimes, steps
from roadmap.errors import ConfigError
from roadmap.networks.convert import from_library
from roadmap.networks.ladder import Block
from roadmap.networks.layers import SpatialConv2d

NAMES = [one.name for one in steps()]
SIZES = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("resnet") else name for name in regimes()]
ENDS = [
    ("resnet", "resnet50", torchvision.models.resnet50),
    ("layer_scale", "resnet50", torchvision.models.convnext_tiny),
    pytest.param("layer_scale", "resnet200", torchvision.models.convnext_base, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("step", "regime", "peer"), ENDS)
def test_both_ends_of_the_ladder_equal_torchvision(step: str, regime: str, peer) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    theirs = peer(weights=None).double().eval()
    ours = roadmap.create_model(step, regime).double().eval()
    with torch.no_grad():
        for p in theirs.parameters():  # no value that both would have by default
            p.add_(0.01 * torch.randn_like(p))
    where = {"library": "torchvision", "step": step, "model": model_config(step, regime)}
    ours.load_state_dict(from_library(theirs.state_dict(), **where))
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    a, b = ours(x), theirs(x)
    assert (a - b).abs().max() < 1e-5
    a.square().mean().backward()
    b.square().mean().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    buffers = dict(ours.named_buffers())
    mapped = to_library(gradients | buffers, **where)
    for name, p in theirs.named_parameters():
        assert (mapped[name] - p.grad).abs().max() < 1e-5 * max(1.0, float(p.grad.abs().max())), name


@pytest.mark.parametrize("regime", SIZES)
@pytest.mark.parametrize("step", NAMES)
def test_every_step_trains_in_every_regime(step: str, regime: str) -> None:
    torch.manual_seed(0)
    model = roadmap.create_model(step, regime, num_classes=10, drop_path=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    logits = model(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 10)
    F.cross_entropy(logits, torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    assert sum(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)) > len(before) / 2


@pytest.mark.parametrize("regime", regimes())
def test_a_step_changes_only_the_keys_it_declares(regime: str) -> None:
    ladder = steps(regime)
    side_steps = [r.name for r in ladder if not r.main_sequence and r.section != "own"]
    assert side_steps == ["kernel_5", "kernel_9", "kernel_11"]
    assert sum(r.section != "own" for r in ladder) == 18
    for one in ladder[1:]:
        assert one.changes and set(one.changes) <= one.declares, one.name


@pytest.mark.parametrize(
    "study", ["fashion_mnist_long", "imagenet", pytest.param("imagenet_r200", marks=pytest.mark.slow)]
)
def test_a_step_is_the_same_through_hydra_and_without_it(study: str) -> None:
    assert any("recipe" in one.changes for one in steps() if one.name == "training_recipe")
    for one in steps():
        composed = configuration.compose([f"study={study}", *([f"+step={one.name}"] if one.parent else [])])
        assert composed.model == model_config(one.name, composed.regime.name)
        assert (composed.step.name, composed.step.parent) == (one.name, one.parent)
        assert composed.recipe.name == ("original" if one.name == "resnet" else "modern")


def test_an_unknown_step_or_regime_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"step=gleu: allowed is one of resnet training_recipe"):
        roadmap.create_model("gleu")
    with pytest.raises(ConfigError, match="regime=huge: allowed is one of micro nano resnet200 resnet50"):
        roadmap.create_model("gelu", "huge")


def test_stochastic_depth_grows_linearly_from_zero() -> None:
    model = roadmap.create_model("layer_norm", "micro", drop_path=0.17)
    rates = [getattr(m.drop_path, "p", 0.0) for m in model.modules() if isinstance(m, Block)]
    assert rates == pytest.approx([0.01 * i for i in range(18)])


def test_initial_weights_are_those_of_the_steps_recipe() -> None:
    torch.manual_seed(0)
    resnet, recipe = (roadmap.create_model(step, "resnet50").state_dict() for step in ("resnet", "training_recipe"))
    name = "stages.3.1.branch.conv.weight"  # 512 x 512 x 3 x 3
    assert float(resnet[name].std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert float(recipe[name].std()) == pytest.approx((1 / (3 * 512 * 9)) ** 0.5, rel=0.01)


def test_weights_are_channels_last() -> None:
    model = roadmap.create_model("large_kernel", "micro")
    conv = next(m for m in model.modules() if isinstance(m, SpatialConv2d))
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("step", ["resnet", "inverted_bottleneck", "large_kernel", "layer_scale"])
def test_the_fast_layers_compute_what_plain_convolutions_do(step: str) -> None:
    torch.manual_seed(0)
    model = roadmap.create_model(step, "nano").double().train()
    torchs = baseline(model)
    assert {type(module) for module in torchs.modules() if isinstance(module, nn.Conv2d)} == {nn.Conv2d}
    images = torch.randn(4, 3, 32, 32, dtype=torch.double)
    outputs = [network(images) for network in (model, torchs)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), torchs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6, msg=name)

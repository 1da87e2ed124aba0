"""The table of ops: every row works in networks, checks, designs, drawings and `show`; new layers against timm's."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from timm import layers as timms
from timm.layers.create_act import get_act_layer
from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn

from roadmap.config.checks import check_model
from roadmap.config.compose import compose
from roadmap.config.designs import carry
from roadmap.config.schema import ModelConfig
from roadmap.config.steps import model_config
from roadmap.errors import ConfigError
from roadmap.networks.costs import cost
from roadmap.networks.ladder import build, make_block, sequence
from roadmap.networks.ops import CHOICES, OPS, Site, labels, map_sizes
from roadmap.networks.show import network as shown
from roadmap.report.drawings import drawings

PLACES = [(name, part) for name, op in OPS.items() for part in op.lists]
CHOSEN = [(key, name) for key, names in CHOICES.items() for name in names]
PEERS = {
    "grn": lambda channels: GlobalResponseNorm(channels, channels_last=False),
    "rms_norm": lambda channels: timms.RmsNorm2d(channels, eps=1e-6),
    "squeeze_excite": timms.SqueezeExcite,
    "layer_norm": lambda channels: timms.LayerNorm2d(channels, eps=1e-6),
    **{name: lambda channels, name=name: get_act_layer(name)() for name in CHOICES["act"]},
}


def small(**changes: Any) -> ModelConfig:
    return replace(model_config("layer_scale", "nano"), depths=[1, 2], width=8, **changes)


def placed(name: str, part: str) -> ModelConfig:
    """A small network with an op in one of its lists."""
    model = small()
    ops, op = list(getattr(model, part)), OPS[name]
    if op.role:
        ops = [name if OPS[other].role == op.role else other for other in ops]
    elif op.follows:
        ops.insert(1, name)
    elif name not in ops:
        ops.append(name)
    return replace(model, **{part: ops})


def computed(model: ModelConfig) -> list[Tensor]:
    """Gradients of all parameters and of the input."""
    torch.manual_seed(0)
    network = build(model, num_classes=3, in_chans=2, drop_path=0.1)
    x = torch.randn(2, 2, 32, 32, requires_grad=True)
    y = network(x)
    assert y.shape == (2, 3)
    return list(torch.autograd.grad(y.square().sum(), [x, *network.parameters()]))


@pytest.mark.parametrize(("name", "part"), PLACES)
def test_an_op_works_wherever_it_may_stand(name: str, part: str) -> None:
    model = placed(name, part)
    check_model(model)
    assert all(gradient.isfinite().all() for gradient in computed(model))
    for size in (32, 50):
        found = cost(model, num_classes=3, in_chans=2, img_size=size)
        assert [stage.size for stage in found.stages[1:-1]] == map_sizes(model, size)
    assert found.params == sum(p.numel() for p in build(model, num_classes=3, in_chans=2).parameters())
    label = dict(zip(getattr(model, part), labels(model, part), strict=True))[name]
    if part == "block":
        assert label in shown(model)[0]
    drawn = {each["part"]: each["after"] for each in drawings(small(), model)}
    assert part not in drawn or f">{'+' if name == 'add' else label}<" in str(drawn[part])


@pytest.mark.parametrize(("key", "name"), CHOSEN)
def test_a_norm_or_an_activation_may_be_chosen_for_all(key: str, name: str) -> None:
    model = small(**{key: name})
    check_model(model)
    assert all(gradient.isfinite().all() for gradient in computed(model))
    assert OPS[name].label(Site(model, 8, 8)) in labels(model, "block")
    config = compose(["study=smoke", "+step=layer_scale", f"model.{key}={name}", "model.stream_ratio=2"])
    build(config.model, num_classes=10, in_chans=1)
    assert getattr(config.model, key) == name


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.follows and "block" in op.lists])
def test_a_change_that_adds_an_op_is_carried_over(name: str) -> None:
    before, after, onto = "dwconv pw_stream add", f"dwconv pw_stream {name} add", "conv norm pw_stream add act"
    assert carry(before.split(), after.split(), onto.split()) == f"conv norm pw_stream {name} add act".split()


@pytest.mark.parametrize("name", PEERS)
def test_a_layer_computes_what_timms_does(name: str) -> None:
    torch.manual_seed(0)
    for channels, size in ((24, 5), (200, 1)):
        ours: nn.Module = OPS[name].build(Site(small(), channels, channels)).double()
        theirs = PEERS[name](channels).double()
        with torch.no_grad():
            for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
                other.copy_(one.copy_(torch.randn_like(one)).view_as(other))
        x, down = torch.randn(2, 3, channels, size, size, dtype=torch.float64)
        found = []
        for layer in (ours, theirs):
            given = x.clone().requires_grad_()
            y = layer(given * 1)
            gradients = torch.autograd.grad((y * down).sum(), [given, *layer.parameters()])
            found.append([y, *(gradient.flatten() for gradient in gradients)])
        torch.testing.assert_close(*found)


def test_response_norm_starts_as_the_identity() -> None:
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(OPS["grn"].build(Site(small(), 8, 8))(x), x)


@pytest.mark.parametrize("name", CHOICES["act"])
def test_an_activation_in_place_spoils_nothing(name: str) -> None:
    """At the start of a branch the shortcut needs the input; after another activation, the gradient does."""
    ops, model = ["act", "act", "dwconv", "norm", "pw_hidden", "act", "pw_stream", "add", "act", "act"], small(act=name)
    torch.manual_seed(0)
    block, _ = make_block(ops, Site(model, 8, 8), drop_path=0.0)
    x = torch.randn(2, 8, 8, 8, requires_grad=True)
    before = x.detach().clone()
    (gradient,) = torch.autograd.grad(block(x).square().sum(), [x])
    assert torch.equal(x, before)
    for module in block.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    assert torch.equal(gradient, torch.autograd.grad(block(x).square().sum(), [x])[0])


def test_layers_are_named_after_their_ops() -> None:
    layers, channels = sequence(["pw_hidden", "norm", "relu", "norm", "pw_stream"], Site(small(), 8, 8))
    assert [name for name, _ in layers.named_children()] == ["pw_hidden", "norm", "relu", "norm_2", "pw_stream"]
    assert channels == 8


def test_labels_are_those_of_the_field() -> None:
    model = model_config("layer_scale", "resnet50")
    block = "7×7 depthwise conv; layer norm; 1×1 conv, 384; GELU; 1×1 conv, 96; layer scale; add"
    assert labels(model, "block") == block.split("; ")
    assert labels(model, "block", stage=1)[2] == "1×1 conv, 768"
    assert labels(model_config("resnet"), "stem")[0] == "7×7 conv, 64, stride 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act": "gleu"}, r"model.act=gleu: allowed is one of relu gelu .* \(did you mean gelu\?\)"),
        ({"norm": "gelu"}, "model.norm=gelu: allowed is one of batch_norm layer_norm rms_norm"),
        ({"act": "act"}, "model.act=act: allowed is one of relu"),
        ({"block": ["dwcnv", "add"]}, r"model.block=dwcnv: .*\(did you mean dwconv\?\)"),
        ({"stem": ["patchify", "grn"]}, "model.stem=grn: allowed is one of stem_conv patchify"),
        ({"stem": ["patchify", "stem_conv"]}, "exactly one stem's conv: stem_conv or patchify"),
        ({"block": ["conv", "dwconv", "pw_stream", "add"]}, "exactly one spatial op: conv or dwconv"),
        ({"block": ["pw_stream", "dwconv", "pw_hidden", "grn", "add"]}, "channels do not match at add"),
        ({"block": ["dwconv", "pw_stream", "add", "pw_stream"]}, "allowed is only norm, act, .*grn.* after add"),
        ({"head": ["avg_pool", "flatten", "rms_norm", "linear"]}, "norm before flatten"),
    ],
)
def test_an_illegal_network_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_model(small(**changes))


def test_images_too_small_for_the_downsampling_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.img_size=32: allowed is larger"):
        compose(["study=smoke", "+step=layer_scale", "model.patch_size=16"])

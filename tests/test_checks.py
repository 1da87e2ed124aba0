"""Checks that a network must bear out: batch norm has variance in every micro-batch."""

import pytest
import torch

from roadmap.config.compose import compose
from roadmap.errors import ConfigError
from roadmap.networks.ladder import build
from roadmap.networks.ops import placed

HEAD_NORM = "+step=move_up_depthwise model.head=[avg_pool,norm,flatten,linear]"  # the map there is one pixel


@pytest.mark.parametrize("img_size", [32, 64])
@pytest.mark.parametrize("words", ["", "+step=patchify_stem", "+step=move_up_depthwise", "+step=layer_norm", HEAD_NORM])
def test_batch_norm_over_one_value_is_refused_exactly_where_torch_refuses_it(words: str, img_size: int) -> None:
    options = ["study=smoke", *words.split(), f"data.img_size={img_size}"]
    config = compose([*options, "budget.bn_batch_size=2"])
    assert [op.size for op in placed(config.model, img_size=img_size) if op.name == "add"][-1] == img_size // 32
    network = build(config.model, num_classes=10, in_chans=1).train()
    try:
        network(torch.zeros(1, 1, img_size, img_size))
    except ValueError as error:
        assert "Expected more than 1 value per channel when training" in str(error)
        with pytest.raises(ConfigError, match=r"recipe\.bn_batch_size=1: allowed is 2 or more: .* maps are one pixel"):
            compose([*options, "budget.bn_batch_size=1", "recipe.mixup_prob=0"])
        assert words == HEAD_NORM or (img_size == 32 and "layer_norm" not in words)
    else:
        alone = compose([*options, "budget.bn_batch_size=1", "recipe.mixup_prob=0"])
        assert alone.recipe.bn_batch_size == 1
        assert "layer_norm" in words or (img_size == 64 and words != HEAD_NORM)

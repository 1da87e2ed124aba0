"""Costs of networks: the reference to the unit, by stage, and the printed tables."""

import pytest
from helpers.smoke import inside

from roadmap.config.conf import reference
from roadmap.config.steps import model_config, steps
from roadmap.errors import ConfigError
from roadmap.networks.costs import cost, family_config


def printed(regime: str) -> list[list[str]]:
    """The rows that the command prints."""
    code, output = inside("scripts/costs.py", f"regime={regime}")
    assert code == 0 and "-0.00" not in output
    return [line.replace("│", " ").split() for line in output.splitlines() if line.startswith("│")]


@pytest.mark.parametrize("regime", ["resnet50", pytest.param("resnet200", marks=pytest.mark.slow)])
def test_costs_equal_the_reference_to_the_unit(regime: str) -> None:
    rows = [row for row in reference("ladder_costs") if row["regime"] == regime]
    found = printed(regime)
    assert [row["step"] for row in rows] == [step.name for step in steps()]
    exact = [cost(model_config(row["step"], regime)) for row in rows]
    assert [(each.params, each.macs) for each in exact] == [(int(row["params"]), int(row["macs"])) for row in rows]
    assert [line[:3] for line in found] == [
        [row["step"], f"{int(row['params']) / 1e6:.1f}", f"{int(row['macs']) / 1e9:.2f}"] for row in rows
    ]
    assert regime != "resnet50" or found[9][3:] == ["4.15", "+0.00"]


def test_a_regime_that_was_not_published_has_one_unit_and_no_columns_for_the_paper() -> None:
    code, output = inside("scripts/costs.py", "regime=nano")
    assert code == 0 and "paper" not in output and "MFLOPs" in output
    assert printed("nano")[0] == ["resnet", "0.631", "77.0"]


def test_costs_by_stage_by_hand() -> None:
    model = model_config("separate_downsampling", "nano")
    model.block = ["dwconv", "norm", "pw_hidden", "act", "pw_stream", "add"]
    model.depths, model.width, model.kernel_size, model.patch_size = [1, 2], 4, 3, 2
    stem, one, two, head = cost(model, num_classes=10, in_chans=1, img_size=33).stages
    assert stem == ("stem", 4, 16, 4 * 4 + 4 + 2 * 4, 4 * 4 * 16**2)
    block = 4 * 9 + 4 + 2 * 4 + (4 * 16 + 16) + (16 * 4 + 4)
    assert one == ("stage 1", 4, 16, block, (4 * 9 + 2 * 4 * 16) * 16**2)
    block = 8 * 9 + 8 + 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    downsample = 2 * 4 + 4 * 4 * 8 + 8
    assert two == ("stage 2", 8, 8, downsample + 2 * block, (4 * 4 * 8 + 2 * (8 * 9 + 2 * 8 * 32)) * 8**2)
    assert head == ("head", 10, 1, 2 * 8 + 8 * 10 + 10, 8 * 10)


def test_taps_that_only_meet_padding_are_not_counted() -> None:
    model = model_config("large_kernel", "nano")
    large, small = (cost(model, img_size=size).stages[4] for size in (64, 32))
    assert small.size == 1 and large.size == 2 and large.macs > 4 * small.macs and large.params == small.params


def test_the_family_costs_what_tables_one_and_two_say() -> None:
    rows, found = reference("convnext_family"), printed("family")
    assert len({row["model"] for row in rows}) == 8
    for row, (model, size, params, _, gflops, _) in zip(rows, found, strict=True):
        assert (model, size) == (row["model"], row["img_size"])
        assert round(float(params)) == int(row["params_m"]), row
        assert float(gflops) == pytest.approx(float(row["gflops"]), abs=0.06, rel=0.003), row


def test_unknown_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="model=convnext_huge: allowed is one of convnext_tiny convnext_small"):
        family_config("convnext_huge")
    code, output = inside("scripts/costs.py", "regime=micr")
    assert code == 2 and "one of micro nano resnet200 resnet50 family (did you mean micro?)" in output

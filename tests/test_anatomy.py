"""Networks counted from their words: the same to the unit as the networks that are built."""

import csv
from pathlib import Path

import pytest

from roadmap.config.steps import model_config, steps
from roadmap.networks.anatomy import parts
from roadmap.networks.costs import cost

COSTS = Path(__file__).parents[1] / "roadmap" / "reference" / "ladder_costs.csv"


def test_the_parts_add_up_to_the_reference_costs() -> None:
    with COSTS.open() as stream:
        for row in csv.DictReader(stream):
            found = parts(model_config(row["step"], row["regime"]))
            counted = (sum(part.params for part in found), sum(part.macs for part in found))
            assert counted == (int(row["params"]), int(row["macs"])), row["step"]


@pytest.mark.parametrize("step", [step.name for step in steps()])
def test_small_images_and_other_classes_are_counted_as_they_are_built(step: str) -> None:
    model, data = model_config(step, "nano"), {"num_classes": 10, "in_chans": 1, "img_size": 32}
    found, built = parts(model, **data), cost(model, **data)
    assert (sum(part.params for part in found), sum(part.macs for part in found)) == tuple(built)


def test_a_network_nobody_has_tried_is_counted_too() -> None:
    model = model_config("separate_downsampling", "nano")
    model.block = ["dwconv", "norm", "pw_hidden", "act", "conv", "pw_stream", "add", "norm"]
    model.depths, model.kernel_size, model.patch_size, model.conv_bias = [1, 2, 1], 5, 2, False
    found, built = parts(model, img_size=50), cost(model, img_size=50)
    assert [part.name for part in found] == ["stem", "stage 1", "stage 2", "stage 3", "head"]
    assert [part.size for part in found] == [25, 25, 12, 6, 1]
    assert (sum(part.params for part in found), sum(part.macs for part in found)) == tuple(built)

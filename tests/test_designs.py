"""Variants beside the ladder: what they are, what cannot be, and their way through sweep, table and figure."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.smoke import inside, words
from helpers.synthetic import result, write

from roadmap.config.checks import check_model
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.designs import NOTHING, base_of, carry, made_on, variant, variants
from roadmap.config.identity import digest
from roadmap.config.schema import Design
from roadmap.config.steps import deviations, find, model_config, steps
from roadmap.errors import ConfigError
from roadmap.networks.ladder import build
from roadmap.report.content import gather
from roadmap.report.figure import draw
from roadmap.report.page import render
from roadmap.results.collate import collate, report, rows
from roadmap.sweep.plan import make_plan

ROOT = Path(__file__).parents[1]
ops = str.split
BOTH = [Design.leave_one_out, Design.add_one]
OUT, ALONE = ({v.step.name: v for v in variants(design)} for design in BOTH)


@pytest.mark.parametrize("regime", ["resnet50", "resnet200", "nano"])
def test_a_change_made_where_it_was_made_is_the_step(regime: str) -> None:
    models = partial(model_config, regime=regime)
    for one in steps(regime)[1:]:
        for before in (one.parent, one.name):  # made twice it is made once
            assert made_on(models(before or ""), one, models) == models(one.name), one.name


@pytest.mark.parametrize(
    ("before", "after", "onto", "wanted"),
    [
        ("conv norm act add", "conv norm add", "dwconv norm act pw_stream act add", "dwconv norm pw_stream act add"),
        ("conv add", "dwconv add", "pw_hidden conv norm add", "pw_hidden dwconv norm add"),
        ("pw_hidden conv norm add", "conv norm pw_hidden add", "pw_hidden act dwconv add", "dwconv pw_hidden act add"),
        ("pw_stream add", "pw_stream layer_scale add", "pw_stream norm add act", "pw_stream norm layer_scale add act"),
        ("conv act add", "conv norm act add", "conv act add act", "conv norm act add act"),
        ("stem_conv norm act max_pool", "patchify", "stem_conv norm act max_pool norm", "patchify"),
        ("patchify", "patchify norm", "stem_conv norm act max_pool", "stem_conv norm act max_pool"),
        ("", "norm downsample_conv", "", "norm downsample_conv"),
        ("pw_hidden add", "pw_hidden conv add", "norm pw_hidden act add", "norm pw_hidden act conv add"),
        ("add pw_hidden pw_hidden", "add pw_hidden pw_hidden act", "pw_hidden pw_hidden", "pw_hidden pw_hidden act"),
    ],
)
def test_a_change_of_a_list_by_hand(before: str, after: str, onto: str, wanted: str) -> None:
    assert carry(ops(before), ops(after), ops(onto)) == ops(wanted)


@pytest.mark.parametrize("design", BOTH)
@pytest.mark.parametrize("regime", ["resnet50", "nano"])
def test_every_variant_is_a_network_that_computes(design: Design, regime: str) -> None:
    for each in variants(design, regime):
        assert each.model is not None and each.reason == "", each.name
        check_model(each.model)
        if regime == "nano":
            network = build(replace(each.model, width=4, depths=[1, 1, 1, 1]), num_classes=10, in_chans=1)
            assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


def test_a_design_has_the_changes_of_its_ladder_in_order() -> None:
    assert [base_of(design, steps()).name for design in BOTH] == ["layer_scale", "resnet"]
    assert list(OUT) == [one.name for one in steps() if one.main_sequence and one.parent]
    assert list(ALONE) == [one.name for one in steps() if one.parent]
    assert OUT["layer_scale"].model == model_config("separate_downsampling")
    large = {v.step.name: v for v in variants(Design.leave_one_out, "resnet200")}
    assert large["increase_width"].model is not None and large["increase_width"].model.width == 84


def test_what_cannot_be_has_a_reason() -> None:
    models = {one.name: model_config(one.name) for one in steps()}
    # A ladder whose end has no layer scale: leaving it out changes nothing.
    still = models | {"layer_scale": models["separate_downsampling"]}
    assert variant(Design.leave_one_out, find("layer_scale"), steps(), still.__getitem__).reason == NOTHING
    # One whose head is pooled by nothing until separate_downsampling speaks of the pool.
    bare = models | {"resnet": replace(models["resnet"], head=ops("flatten linear"))}
    alone = variant(Design.add_one, find("separate_downsampling"), steps(), bare.__getitem__)
    wanted = "separate_downsampling: model.head=[flatten,linear]: it changes the avg_pool, which is not there"
    assert (alone.model, alone.reason) == (None, wanted)
    with pytest.raises(ConfigError, match=r"it moves .* in another order"):
        carry(ops("conv pw_hidden add"), ops("pw_hidden conv add"), ops("add pw_hidden dwconv"))
    # One that is no network: the stream is never reached again.
    cut = models | {"gelu": replace(models["gelu"], block=ops("pw_hidden norm act dwconv norm add"))}
    assert "channels do not match" in variant(Design.add_one, find("gelu"), steps(), cut.__getitem__).reason


@pytest.mark.parametrize("design", BOTH)
def test_the_documented_list_is_the_one_of_the_code(design: Design) -> None:
    code, listed = inside("scripts/show.py", f"design={design.value}")
    assert code == 0 and "cannot be built:" not in listed
    assert listed in (ROOT / "docs" / "designs.md").read_text()


def test_the_plan_of_a_design(data_root: Path) -> None:
    study = words(Path("runs"), data_root, "model.kernel_size=5")
    plan = make_plan([*study, "design=leave_one_out", "steps=[training_recipe,gelu,large_kernel]", "seeds=2"])
    assert [run.step for run in plan.runs] == ["layer_scale", "without_training_recipe", "without_gelu"] * 2
    assert plan.skipped == {"without_large_kernel": NOTHING}, "the study sets it for all"
    whole, recipe, gelu = plan.configs[:3]
    assert gelu.study.name == "tiny,design=leave_one_out" and gelu.study.design is Design.leave_one_out
    assert (gelu.step.parent, gelu.step.title, gelu.step.group) == ("layer_scale", "− ReLU to GELU", "micro")
    assert gelu == replace(whole, step=gelu.step, model=replace(whole.model, act="relu"))
    assert recipe.recipe.name == "original" and recipe.recipe.opt.value == "sgd" and recipe.model == whole.model
    assert [deviations(config)["recipe.epochs"] for config in (whole, recipe)] == [(2, 300), (2, 90)]
    assert "recipe.opt" not in deviations(recipe), "a variant deviates from the recipe that it names"
    assert gelu.model.width == 6, "as the study has it, not as the regime"
    end = compose([*study, "+step=layer_scale"])
    assert digest(to_dict(replace(end, study=whole.study))) == digest(to_dict(whole))


def test_table_and_figure_of_a_design() -> None:
    named = {"study__name": "smoke,design=leave_one_out", "study__design": "leave_one_out"}
    own = named | {"like": "gelu", "step__parent": "layer_scale"}
    results = [result("layer_scale", seed, correct=8900 + 10 * seed, **named) for seed in (0, 1)]
    results += [result("without_gelu", seed, correct=8700 + 10 * seed, **own) for seed in (0, 1)]
    table = rows(results)
    assert [row.step for row in table] == ["layer_scale", *(f"without_{name}" for name in OUT)]
    gelu = next(row for row in table if row.step == "without_gelu")
    assert (gelu.parent, gelu.title, gelu.group, gelu.side) == ("layer_scale", "− ReLU to GELU", "micro", False)
    assert gelu.change == pytest.approx(-2.0) and table[0].change is None
    page = report(table, results)
    assert "Below zero, the network was better with the change" in page
    assert "- Cannot be combined: none: every variant is a network" in page
    assert "| without_gelu | 2 | 87.05 ± 0.07 |" in page and "(side)" not in page and "Kendall" not in page
    figure = draw(table)
    assert figure.texts[0].get_text() == "Leave one out: the end of the main sequence without each change"
    (line,) = [line for axes in figure.axes for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert list(line.get_xdata()) == [table[0].top1] * 2


def test_the_page_of_a_design_is_about_it(tmp_path: Path) -> None:
    named = {"study__name": "smoke,design=add_one", "study__design": "add_one"}
    alone = result("only_gelu", like="gelu", step__parent="resnet", **named)
    write(tmp_path / "runs", [result("resnet", **named), alone])
    collate("smoke,design=add_one", tmp_path / "runs", tmp_path)
    page = render(gather("smoke,design=add_one", tmp_path), {}, "")
    assert "<h1>Add one: the start of the main sequence with each change alone</h1>" in page
    assert "Above zero, the change is of use without the others" in page and "First to last step" not in page
    assert 'id="step-only_layer_norm"' in page

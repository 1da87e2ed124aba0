"""Ladders beside the paper's: the one that is shipped as an example, one of one's own, and what they are without."""

import ast
import shutil
from pathlib import Path

import pytest
from helpers.own_conf import forget
from helpers.smoke import ROOT, TINY, inside

from roadmap.cli import name_of_study
from roadmap.config.compose import compose
from roadmap.config.designs import variants
from roadmap.config.schema import Design
from roadmap.config.step_files import ladders, read_ladder
from roadmap.config.steps import deviations, model_config, steps
from roadmap.errors import ConfigError
from roadmap.networks.ladder import create_model
from roadmap.networks.ops import OPS
from roadmap.report.content import gather
from roadmap.report.figure import draw
from roadmap.report.page import render
from roadmap.results.collate import collate
from roadmap.results.table import read_csv
from roadmap.sweep.plan import make_plan
from roadmap.training.run import execute

MOBILE = ["separable_conv", "inverted_residual", "hard_swish", "squeeze_excitation"]


def test_the_example_has_four_steps_from_its_own_start() -> None:
    found = steps(ladder="mobile")
    assert [step.name for step in found] == MOBILE and all(step.main_sequence for step in found)
    assert [step.parent for step in found] == [None, *MOBILE[:-1]]
    assert found[1].changes["model.hidden_ratio"] == (1, 6) and found[2].changes == {"model.act": ("relu", "hardswish")}
    config = compose(["study.ladder=mobile"])
    assert (config.step.name, config.recipe.name) == ("separable_conv", "modern")
    assert config.study.name == "fashion_mnist,ladder=mobile" == name_of_study(["study.ladder=mobile", "seeds=3"])
    same = ["study=smoke_recipe", "study.ladder=recipe"]  # the ladder that this study has anyway
    assert compose(same).study.name == name_of_study(same) == "smoke_recipe"
    params = create_model("hard_swish", "nano", ladder="mobile").parameters()
    assert sum(each.numel() for each in params) == 217_584, "as added up by hand"
    code, said = inside("scripts/show.py", "ladder=mobile", "step=hard_swish")
    assert code == 0 and "model.act: relu -> hardswish" in said and "of the paper" not in said


def test_its_designs_follow_from_its_steps() -> None:
    alone, out = (variants(design, "nano", "mobile") for design in (Design.add_one, Design.leave_one_out))
    assert [each.name for each in alone] == [f"only_{name}" for name in MOBILE[1:]]
    assert not [each.reason for each in (*alone, *out) if each.reason]
    assert out[0].model is not None and out[0].model.block[:4] == ["dwconv", "norm", "squeeze_excite", "act"]


def test_it_is_swept_collated_and_drawn_without_the_paper(tmp_path: Path, data_root: Path) -> None:
    study = ["study=smoke", "study.ladder=mobile", f"runs_dir={tmp_path}/runs", f"data.root={data_root}", *TINY[1:]]
    plan = make_plan([*study, "data.max_train=64", "data.max_test=20", "budget.epochs=1", "study.name=small"])
    assert [run.step for run in plan.runs] == MOBILE
    plan.freeze()
    losses = [execute(run.directory)["metrics"]["train_loss"] for run in plan.runs]
    assert len(set(losses)) == 4 and deviations(plan.configs[0]) == {}
    table, page, latex = collate("small", tmp_path / "runs", tmp_path)[:3]
    rows = read_csv(table)
    assert [(row.step, row.ladder, row.n, row.paper_top1) for row in rows] == [(n, "mobile", 1, None) for n in MOBILE]
    assert "paper" not in page.read_text() and r"{paper}" not in latex.read_text()
    figure = draw(rows)
    assert figure.texts[0].get_text() == read_ladder("mobile").options.title
    assert not [text for axes in figure.axes for text in axes.texts if "paper" in text.get_text()]
    shown = render(gather("small", tmp_path), {}, "")
    assert "Comparison with the paper" not in shown and "paper, %" not in shown and "Inverted residual" in shown


def test_a_copy_of_it_is_a_ladder_of_ones_own(own_conf: Path) -> None:
    """The commands of docs/own_ladder.md."""
    folder = shutil.copytree(own_conf / "ladder/mobile", own_conf / "ladder/mine")
    (folder / "squeeze_excitation.yaml").unlink()
    (folder / "wide.yaml").write_text("step: {parent: hard_swish}\nmodel: {width: '${regime.steps.wide.width}'}\n")
    forget()
    assert ladders() == ["mine", "mobile", "network", "recipe"]
    nano = own_conf / "regime/nano.yaml"
    nano.write_text(nano.read_text().replace("steps:\n", "steps:\n  wide: {width: 20}\n"))
    forget()
    config = compose(["study.ladder=mine", "+step=wide"])
    assert (config.model.width, config.step.group) == (20, "micro")
    code, said = inside("scripts/sweep.py", "--dry-run", "study=smoke", "study.ladder=mine", "steps=hard_swish")
    assert code == 0 and "runs/smoke,ladder=mine/hard_swish/seed-0" in said
    assert model_config(ladder="mine") == model_config(ladder="mobile")
    reference = "reference: {table: convnext_paper, regimes: {resnet50: {title: T, start: S, seeds: 3}}"
    own = (folder / "ladder.yaml").read_text()
    for text, message in (
        (own.replace("groups", "group"), r"ladder.group: allowed is one of title groups .*did you mean groups"),
        (own.replace("imagenet", "imagnet"), r"ladder.studies.resnet50=imagnet: allowed .*did you mean imagenet"),
        (own.replace("{start: Start, ", "{"), r"separable_conv.yaml: step.group=start: allowed is one of block micro"),
        (f"{own}changes: [data]\n", r"ladder.changes=data: allowed is one of model recipe"),
        (
            f"{own}{reference.replace('convnext_paper', 'mine')}}}\n",
            r"reference.table=mine: allowed is one of convnext_f",
        ),
        (f"{own}{reference.replace('start: S, ', '')}}}\n", r"reference.regimes.resnet50.start is missing"),
    ):
        (folder / "ladder.yaml").write_text(text)
        forget()
        with pytest.raises(ConfigError, match=rf"^conf/ladder/mine/.*{message}"):
            steps(ladder="mine")


def test_code_knows_no_step() -> None:
    """Names of steps are data, but for ops and training methods (the recipe ladder), which code has to know."""
    names = {step.name for ladder in ("network", "mobile") for step in steps(ladder=ladder)} - {*OPS}
    for path in (ROOT / "roadmap").rglob("*.py"):
        tree = ast.parse(path.read_text())
        docs = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
        texts = [each for each in ast.walk(tree) if isinstance(each, ast.Constant) and id(each) not in docs]
        words = [each.value for each in texts if isinstance(each.value, str)]
        assert not [word for word in words if word in names or "resnet" in word], path

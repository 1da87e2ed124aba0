"""A step given on the command line: shown, swept and placed as one with a file, and never mistaken for another."""

from pathlib import Path

import pytest
from helpers.own_conf import forget
from helpers.smoke import inside, words
from helpers.synthetic import ladder, result

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.steps import find
from roadmap.errors import ConfigError
from roadmap.results.collate import rows
from roadmap.sweep.plan import make_plan

# As the README has it.
WORDS = ["+step=move_up_depthwise", "step.name=kernel_13", "model.kernel_size=13"]
FILE = "step: {parent: move_up_depthwise}\nmodel: {kernel_size: 13}\n"


def begun(config_words: list[str]) -> Path:
    """A run that has begun."""
    directory = runs.prepare(compose(config_words))
    runs.write_json(directory / runs.CHECKPOINT, {})
    return directory


def test_the_readmes_example_is_the_same_step_in_both_its_forms(own_conf: Path) -> None:
    typed = compose(["study=smoke", *WORDS])
    (own_conf / "ladder/network/kernel_13.yaml").write_text(FILE)
    forget()
    filed = compose(["study=smoke", "+step=kernel_13"])
    assert typed == filed and digest(to_dict(typed)) == digest(to_dict(filed))
    assert (typed.step.parent, typed.step.group, typed.study.name) == ("move_up_depthwise", "kernel", "smoke")
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert " ".join(WORDS) in readme and all(line.split("  #")[0] in readme for line in FILE.splitlines())


def test_it_is_shown_and_without_a_name_one_is_proposed() -> None:
    for given in (WORDS, [WORDS[0], WORDS[2]]):
        code, said = inside("scripts/show.py", *given)
        assert code == 0 and "changes over move_up_depthwise:\n  model.kernel_size: 3 -> 13\n" in said
        assert "13×13 depthwise conv" in said and "26,577,736 parameters" in said
    assert said.startswith("kernel_size_13 (kernel_size_13), regime resnet50\n")
    code, said = inside("scripts/show.py", "+step=mixup", "ladder=recipe", "recipe.mixup=0.2")
    assert code == 0 and "changes over mixup:\n  recipe.mixup: 0.8 -> 0.2\n\nbefore and after\n" in said


@pytest.mark.parametrize(
    ("given", "proposed"),
    [
        ("+step=large_kernel model.kernel_size=15", "step.name=kernel_size_15"),
        ("model.block=[pw_hidden,norm,act,conv,norm,act,pw_stream,norm,add]", "step.name=own_block"),
        ("model.act=gelu +step=resnet", "step.name=act_gelu"),
        ("study=smoke_recipe recipe.mixup=0.2 +step=mixup", "step.name=mixup_0.2"),
    ],
)
def test_train_proposes_a_name_and_opens_no_study(
    given: str, proposed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--cfg"]):
        code, said = inside("train.py", *given.split(), *more)
        assert code == 2 and f"add {proposed}\nor study.name=NAME" in said
    assert [*tmp_path.iterdir()] == []
    for named in (proposed, "study.name=mine"):
        assert inside("train.py", *given.split(), named, "--cfg")[0] == 0


def test_it_is_swept_alone_or_with_others_in_the_order_of_the_table(tmp_path: Path) -> None:
    def planned(*more: str) -> list[str]:
        return [run.step for run in make_plan(["study=smoke", f"runs_dir={tmp_path}", *more]).runs]

    assert planned(*WORDS, "seeds=3") == ["kernel_13"] * 3
    assert planned(*WORDS, "steps=[gelu,kernel_13,move_up_depthwise]") == ["move_up_depthwise", "kernel_13", "gelu"]
    plan = make_plan(["study=smoke", *WORDS, "steps=[kernel_13,gelu]", "seeds=2"])
    assert [(c.step.name, c.seed, c.model.kernel_size, c.study.name) for c in plan.configs] == [
        ("kernel_13", 0, 13, "smoke"), ("gelu", 0, 7, "smoke"), ("kernel_13", 1, 13, "smoke"), ("gelu", 1, 7, "smoke"),
    ]  # fmt: skip
    for wrong in (["steps=[gelu]"], ["design=add_one"]):
        with pytest.raises(ConfigError, match=r"step of your own"):
            planned(*WORDS, *wrong)
    with pytest.raises(ConfigError, match=r"step=gelu: allowed is seeds=N and steps=\[NAME,...\] in a sweep, or"):
        planned("+step=gelu")


def test_one_that_has_run_is_known_by_its_name(tmp_path: Path) -> None:
    study = ["study=smoke", f"runs_dir={tmp_path}", "recipe.smoothing=0"]
    with pytest.raises(ConfigError, match="step=kernel_13: allowed is one of resnet"):
        make_plan([*study, "steps=[kernel_13]"])
    begun([*study, *WORDS])
    plan = make_plan([*study, "steps=[kernel_13,large_kernel]", "seeds=2"])
    assert [run.step for run in plan.runs] == ["large_kernel", "kernel_13"] * 2
    own = plan.configs[1]
    assert own == compose([*study, *WORDS]) and plan.configs[3].seed == 1
    plan.freeze()


@pytest.mark.parametrize("first", [13, 15])
def test_two_steps_of_one_name_are_refused_whichever_came_first(first: int, own_conf: Path) -> None:
    study = ["study=smoke", f"runs_dir={own_conf.parent / 'runs'}"]
    begun([*study, *WORDS[:2], f"model.kernel_size={first}", "seed=1"])
    other = [*study, *WORDS[:2], f"model.kernel_size={28 - first}"]
    with pytest.raises(ConfigError, match=rf"seed-1 holds another step of this name: model.kernel_size \({first}"):
        runs.prepare(compose(other))
    (own_conf / "ladder/network/kernel_13.yaml").write_text(FILE.replace("13", str(28 - first)))
    forget()
    with pytest.raises(ConfigError, match=r"holds another step of this name: model.kernel_size"):
        make_plan([*study, "steps=[kernel_13]"]).freeze()
    with pytest.raises(ConfigError, match=r"step.name=kernel_13: allowed is a name of its own"):
        compose([*study, *WORDS])
    assert not (own_conf.parent / "runs/smoke/kernel_13/seed-0").exists()


def test_in_the_table_it_stands_after_its_parent_and_in_its_group() -> None:
    own = result("kernel_13", like="kernel_11")
    table = rows([*ladder(), own])
    names = [row.step for row in table]
    assert names[names.index("move_up_depthwise") + 1 :][:6] == [
        "kernel_5", "large_kernel", "kernel_9", "kernel_11", "kernel_13", "gelu"
    ]  # fmt: skip
    row = table[names.index("kernel_13")]
    assert (row.parent, row.group, row.side) == ("move_up_depthwise", find("kernel_11").group, True)
    assert row.change is not None


def test_a_run_of_it_is_trained_and_collated(tmp_path: Path, data_root: Path) -> None:
    study = words(tmp_path / "runs", data_root)
    code, said = inside("train.py", *study, "study.name=smoke", *WORDS)
    assert code == 0, said
    code, said = inside("scripts/collate.py", "study=smoke", f"runs_dir={tmp_path / 'runs'}", f"results_dir={tmp_path}")
    assert code == 0, said
    assert "| kernel_13 (side) | 1 |" in (tmp_path / "smoke/ladder.md").read_text()

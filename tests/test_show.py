"""The command that shows a step."""

import pytest
from helpers.smoke import inside

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.networks.show import describe


def test_a_step_is_shown_with_its_changes_blocks_and_costs() -> None:
    code, output = inside("scripts/show.py", "step=inverted_bottleneck", "regime=micro")
    assert (code, output) == inside("scripts/show.py", "+step=inverted_bottleneck", "regime=micro")
    assert code == 0 and "Inverted bottleneck (inverted_bottleneck), section 2.4 of the paper, regime micro" in output
    assert "conf/ladder/network/inverted_bottleneck.yaml" in output and "model.stream_ratio: 4 -> 1" in output
    assert "1×1 conv, 96 → batch norm → ReLU → 3×3 depthwise conv" in output
    assert "1,829,104 parameters, 307,607,808 multiply-adds" in output


def test_the_words_of_a_study_are_taken_and_give_the_regime_and_the_ladder() -> None:
    own = ["+step=move_up_depthwise", "step.name=kernel_13", "model.kernel_size=13"]
    code, output = inside("scripts/show.py", *own, "study=smoke", "seeds=3", "jobs=2")
    assert code == 0 and output.startswith("kernel_13 (kernel_13), regime micro\n")
    assert "  model.kernel_size: 3 -> 13\n" in output
    assert inside("scripts/show.py", *own, "study=smoke", "regime=resnet50") == inside("scripts/show.py", *own)
    code, output = inside("scripts/show.py", "step=mixup", "study=smoke_recipe")
    assert code == 0 and "recipe.mixup: 0 -> 0.8" in output


def test_without_a_step_all_are_listed() -> None:
    code, output = inside("scripts/show.py")
    assert code == 0 and [line.split()[0] for line in output.splitlines()] == [step.name for step in steps()]


def test_a_step_of_the_recipe_ladder_is_shown() -> None:
    for words in (["step=mixup", "ladder=recipe"], ["+step=mixup", "study.ladder=recipe"]):
        code, output = inside("scripts/show.py", *words)
        assert code == 0 and "recipe.mixup: 0 -> 0.8" in output


def test_an_unknown_step_or_one_of_the_other_ladder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"step=mixup: it is a step of another ladder: add study.ladder=recipe"):
        describe("mixup")
    with pytest.raises(ConfigError, match="step=mixop: allowed is one of resnet"):
        describe("mixop")


@pytest.mark.parametrize("words", [["step=gelu", "training.epchs=3"], ["+step=gelu", "step.nam=x"]])
def test_a_misspelt_option_is_refused(words: list[str]) -> None:
    code, said = inside("scripts/show.py", *words)
    assert code == 2 and words[1].partition("=")[0].rpartition(".")[2] in said

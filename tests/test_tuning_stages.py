"""tune=...: every step at each setting, its best chosen on held-out images, its table beside the untuned one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.smoke import TINY, inside
from helpers.synthetic import result
from rich.console import Console

from roadmap import runs
from roadmap.cli import name_of_study
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import Config
from roadmap.config.tuning import parse_tuning
from roadmap.errors import ConfigError
from roadmap.results.collate import collate
from roadmap.results.table import read_csv
from roadmap.sweep import sweeper
from roadmap.sweep.plan import Plan
from roadmap.sweep.tuning_stages import Stages, choose, make_stages

TUNE = "tune=recipe.lr:[0.5,1,2]"
STEPS = "steps=[resnet,training_recipe]"
Right = Callable[[Config], int | None]  # right answers of 10,000, or None for a run whose loss diverges


def stages(directory: Path, *more: str) -> Stages:
    return make_stages([*TINY, "study.name=tiny", f"runs_dir={directory / 'runs'}", STEPS, *(more or [TUNE])])


def carry_out(plan: Plan, right: Right) -> int:
    """Write made-up results of a plan's runs; the exit code of such a sweep."""
    failed = False
    for config in plan.configs:
        directory, count = runs.freeze(config), right(config)
        if count is None:
            runs.write_json(directory / runs.FAILURE, {"error": "NonFiniteLoss: loss is nan"})
            failed = True
            continue
        plain: dict[str, Any] = to_dict(config)
        made = result("resnet", config.seed, correct=count) | {"config": plain, "config_hash": digest(plain)}
        names = {key: plain["step"][key] for key in ("parent", "title", "group", "section")}
        runs.write_result(
            directory / runs.RESULT, made | names | {"study": config.study.name, "step": config.step.name}
        )
    return int(failed)


def best_at(factors: dict[str, float]) -> Right:
    """Held-out accuracy is best where the rate is that factor of the step's own; tests would choose the smallest."""
    own = {"resnet": 0.1, "training_recipe": 0.004}

    def right(config: Config) -> int | None:
        if not config.data.holdout:
            return 8000 - round(1000 * config.recipe.lr)
        step = config.step.parent or ""
        factor = config.recipe.lr / own[step]
        diverges = factor > 1.5 and step == "training_recipe"
        return None if diverges else 8000 + config.seed - round(100 * abs(factor - factors[step]))

    return right


def test_every_step_is_trained_at_each_setting_of_its_own_value_on_held_out_images(tmp_path: Path) -> None:
    found = stages(tmp_path, TUNE, "seeds=2")
    assert found.untuned.study == tmp_path / "runs" / "tiny" and len(found.untuned.runs) == 4
    assert all(config.data.holdout == 0 and not config.study.tune for config in found.untuned.configs)
    rates = [(c.step.name, c.step.parent, pytest.approx(c.recipe.lr)) for c in found.held_out.configs[:6]]
    assert rates == [
        (f"{step},recipe.lr=x{factor:g}", step, factor * own)
        for step, own in (("resnet", 0.1), ("training_recipe", 0.004))
        for factor in (0.5, 1, 2)
    ]
    assert all(config.data.holdout == 0.1 for config in found.held_out.configs) and len(found.held_out.runs) == 12
    assert [run.step for run in found.held_out.runs] == [config.step.name for config in found.held_out.configs]
    words = ["study=smoke", "study.name=tiny", TUNE]
    assert found.tuned.study.name == name_of_study(words) == "tiny,tune=recipe.lr_[0.5,1,2]"
    by_value = stages(tmp_path, "tune=recipe.epochs=[3,5]", "data.holdout=0.25").held_out.configs
    assert [(c.recipe.epochs, c.data.holdout) for c in by_value] == [(3, 0.25), (5, 0.25)] * 2
    assert by_value[3].recipe.warmup_epochs == 5 * 20 / 300, "what follows from the option follows it"


def test_the_choice_is_that_of_the_held_out_images_and_the_table_stands_beside_the_untuned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order, right = list[str](), best_at({"resnet": 2, "training_recipe": 1})
    monkeypatch.setattr(sweeper, "_sweep", lambda plan, _: (order.append(plan.study.name), carry_out(plan, right))[1])
    found = stages(tmp_path, TUNE, "seeds=2")
    assert sweeper._tune(found, Console(soft_wrap=True)) == 0
    said, name = capsys.readouterr().out, "tiny,tune=recipe.lr_[0.5,1,2]"
    assert order == ["tiny", f"{name},held_out", name]
    assert "resnet: recipe.lr x0.5 78.50 %, x1 79.00 %, x2 80.00 % on held-out images, chosen: x2" in said
    assert "training_recipe: recipe.lr x0.5 79.50 %, x1 80.00 %, x2 diverged on held-out images, chosen: x1" in said
    chosen = [(config.step.name, config.recipe.lr, config.data.holdout) for config in found.tuned.configs[:2]]
    assert chosen == [("resnet", 0.2, 0.0), ("training_recipe", 0.004, 0.0)]
    for runs_dir in (tmp_path / "runs", tmp_path / "gone"):  # the second time from what was kept
        collate(name, runs_dir, tmp_path / "results")
        rows = {row.step: row for row in read_csv(tmp_path / "results" / name / "ladder.csv") if row.n}
        assert [rows[step].top1 for step in ("resnet", "training_recipe")] == [78.0, 79.96]
        assert rows["resnet"].metrics["untuned_top1"] == (79.0, 0.0) and rows["resnet"].metrics["recipe.lr"][0] == 0.2
        assert rows["training_recipe"].metrics["untuned_change"][0] == pytest.approx(0.96)
        page = (tmp_path / "results" / name / "ladder.md").read_text()
        assert "Tuned: recipe.lr of each step is the best of x0.5, x1, x2 by its top-1, mean of 2 seeds, on 10 " in page
        assert "the test images had no part in the choice. untuned: the study tiny" in page
    collate("tiny", tmp_path / "runs", tmp_path / "results")
    assert "Tuned" not in (tmp_path / "results" / "tiny" / "ladder.md").read_text()


def test_without_all_runs_nothing_is_chosen(tmp_path: Path) -> None:
    found = stages(tmp_path)
    carry_out(found.untuned, lambda _: 8000)
    carry_out(found.held_out, lambda config: None if config.recipe.lr == 0.2 else 8000)
    lines, whole = choose(found)
    assert whole and lines[0].endswith("x0.5 80.00 %, x1 80.00 %, x2 diverged on held-out images, chosen: x0.5")
    (found.tuned.study / runs.TUNING).unlink()
    (found.held_out.runs[0].directory / runs.RESULT).unlink()
    runs.write_json(found.held_out.runs[1].directory / runs.FAILURE, {"error": "out of memory"})
    lines, whole = choose(found)
    assert not whole and lines[0].endswith(
        "x0.5 not finished, x1 80.00 %, x2 diverged on held-out images, chosen: none"
    )
    assert not (found.tuned.study / runs.TUNING).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune=recipe.lr"], r"tune=recipe\.lr: allowed is recipe\.lr:\[0\.5,1,2\], factors on each step's own"),
        (["tune=recipe.rate:[1,2]"], "tune=recipe.rate: allowed is one of"),
        (["tune=training.threads=[1,2]"], r"tune=training\.threads: allowed is one of"),
        (["tune=recipe.lr:[1,1]"], "two or more different settings"),
        (["tune=recipe.lr:[1,-2]"], r"factors more than 0 on a number; other settings are written recipe\.lr=\["),
        (["tune=recipe.opt:[1,2]"], r"other settings are written recipe\.opt=\["),
        ([TUNE, "recipe.lr=1"], r"recipe\.lr=1: allowed is not together with tune="),
        ([TUNE, "design=add_one"], "design=add_one: allowed is ladder with tune="),
        ([TUNE, "tune=recipe.epochs=[1,2]"], "allowed is one option"),
    ],
)
def test_what_cannot_be_tuned_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stages(tmp_path, *words)


def test_whole_numbers_stay_whole_and_other_commands_name_the_study(tmp_path: Path) -> None:
    assert parse_tuning("recipe.epochs:[0.5,2]").value("x0.5", 4) == 2
    with pytest.raises(ConfigError, match=r"tune=recipe\.epochs=2\.5: allowed is a whole number"):
        parse_tuning("recipe.epochs:[0.5,2]").value("x0.5", 5)
    code, output = inside("scripts/sweep.py", "--dry-run", "study=smoke", f"runs_dir={tmp_path}", STEPS, TUNE)
    assert code == 0 and output.count("to do ") == 2 + 6 + 2
    code, output = inside("scripts/plan.py", "study=smoke", TUNE)
    assert code == 2 and "allowed is in scripts/sweep.py" in output

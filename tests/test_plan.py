"""The plan of a sweep: which runs, in which order."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.synthetic import result, write

from roadmap import runs
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.overrides import study_name
from roadmap.config.schema import Config
from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("steps=[gleu]", "step=gleu: allowed is one of resnet training_recipe"),
        ("steps=rsnet", "(did you mean resnet?)"),
        ("seeds=0", "seeds=0: allowed is 1 to 1000"),
        ("seeds=many", "seeds=many"),
        ("jobs=0", "jobs=0: allowed is 1 to 10000"),
        ("jobs=many", "jobs=many: allowed is auto, or a whole number"),
        ("only=side", "expected one of [main_sequence, all]"),
        ("jobz=2", "jobz"),
        ("+step=gelu", "steps=[NAME,...]"),
        ("seed=3", "seeds=N"),
        ("recipe.lrr=1", "did you mean lr"),
        ("cluster=moon", "cluster=moon: allowed is one of local slurm"),
        ("cluster=slurm cluster.partitoin=gpu", "partitoin"),
        ("cluster=slurm cluster.nodes=0", "cluster.nodes=0: allowed is 1 to 10000"),
        ("cluster=slurm cluster.nodes=two", "two"),
        ("cluster=slurm cluster.time=10", "cluster.time=10: allowed is 30 to 527040"),
        ("cluster=slurm cluster.retries=-1", "cluster.retries=-1: allowed is 0 to 10000"),
        ("cluster=slurm cluster.signal_seconds=5", "cluster.signal_seconds=5: allowed is 30 to"),
        ("cluster.nodes=2", "cluster.nodes=2: allowed is 1 on this machine"),
        ("design=add_one recipe=original", "recipe=original: allowed is not in design=add_one, which sets it"),
        ("design=add_one steps=[x]", "step=x: allowed is one of training_recipe"),
        ("study.design=add_one", "study.design=add_one: allowed is design=NAME"),
        ("design=add_one study=smoke_recipe", "allowed is ladder in a study with study.ladder=recipe"),
    ],
)
def test_words_that_cannot_be_are_refused(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan(["study=smoke", *words.split()])
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == (2 if words == "recipe.lrr=1" else 1)


def test_a_plan_has_the_steps_and_seeds_that_were_asked_for() -> None:
    def planned(*asked: str) -> list[tuple[str, int]]:
        return [(run.step, run.seed) for run in make_plan(["study=smoke", *asked]).runs]

    assert planned() == [(step.name, 0) for step in steps()]
    for word in ("only=main_sequence", "only=path"):
        assert planned(word) == [(step.name, 0) for step in steps() if step.main_sequence]
    two = [(step, seed) for seed in (0, 1) for step in ("resnet", "gelu")]
    assert planned("steps=[gelu,resnet]", "seeds=2") == planned("steps=gelu,resnet", "seeds=2") == two
    assert make_plan(["study=smoke", "jobs=7", "steps=[gelu]"]).jobs == 7
    assert planned("study=imagenet", "steps=[gelu]") == [("gelu", 0), ("gelu", 1), ("gelu", 2)]
    assert str(make_plan(["study=smoke", "recipe.lr=1", "steps=[gelu]"]).study) == "runs/smoke,recipe.lr=1"


def test_a_cluster_is_not_part_of_a_study() -> None:
    plan = make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm", "cluster.partition=gpu"])
    assert plan.configs == make_plan(["study=smoke", "steps=[gelu]"]).configs
    assert (plan.jobs, plan.cluster.partition) == (256, "gpu")


def test_published_results_of_the_same_runs_are_taken_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planned = ["study=smoke", "steps=[gelu]", "seeds=3", "study.reuse_published=true"]
    plan = make_plan(planned)
    gelu = {config.seed: config for config in plan.configs}

    def put(seed: int, config: Config, **more: object) -> None:
        plain = to_dict(config)
        made = result("gelu", seed) | {"config": plain, "config_hash": digest(plain)} | more
        write(tmp_path / "there", [made])
        shutil.copytree(tmp_path / "there/smoke", "results/published/smoke/runs", dirs_exist_ok=True)

    put(0, gelu[0])
    put(1, gelu[1])
    plan.freeze()
    runs.write_json(plan.runs[1].directory / runs.CHECKPOINT, {})  # this run has begun
    assert (plan.reuse(), plan.reuse()) == (1, 0)
    assert [runs.finished(run.directory) for run in plan.runs] == [True, False, False]
    assert runs.read_result(plan.runs[0].directory / runs.RESULT)["metrics"]["top1"] == 80
    put(2, replace(gelu[2], recipe=replace(gelu[2].recipe, lr=7.0)))
    with pytest.raises(ConfigError, match=r"recipe.lr \(7.0 there, now .*study.reuse_published=false"):
        plan.reuse()
    put(2, gelu[2], data={"train": {"images": 1, "classes": 1, "names": "a" * 16}})
    with pytest.raises(ConfigError, match="is of other images"):
        plan.reuse({"train": {"images": 2, "classes": 1, "names": "b" * 16}})
    assert study_name("smoke", {"study.reuse_published": "true"}) == "smoke"

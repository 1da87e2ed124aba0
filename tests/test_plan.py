"""The plan of a sweep: which runs, in which order."""

import pytest

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("steps=[gleu]", "step=gleu: allowed is one of resnet training_recipe"),
        ("steps=rsnet", "(did you mean resnet?)"),
        ("seeds=0", "seeds=0: allowed is more than 0"),
        ("seeds=many", "seeds=many"),
        ("jobs=0", "jobs=0: allowed is auto, or a number more than 0"),
        ("jobs=many", "jobs=many: allowed is auto, or a number more than 0"),
        ("only=side", "expected one of [main_sequence, all]"),
        ("jobz=2", "jobz"),
        ("+step=gelu", "steps=[NAME,...]"),
        ("seed=3", "seeds=N"),
        ("recipe.lrr=1", "did you mean lr"),
        ("cluster=moon", "cluster=moon: allowed is one of local slurm"),
        ("cluster=slurm cluster.partitoin=gpu", "partitoin"),
        ("cluster=slurm cluster.nodes=0", "cluster.nodes=0: allowed is more than 0"),
        ("cluster=slurm cluster.nodes=two", "two"),
        ("cluster=slurm cluster.time=10", "cluster.time=10: allowed is 30 minutes or more"),
        ("cluster=slurm cluster.retries=-1", "cluster.retries=-1: allowed is 0 or more"),
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
    assert planned("steps=[gelu,resnet]", "seeds=2") == two
    assert make_plan(["study=smoke", "jobs=7", "steps=[gelu]"]).jobs == 7
    assert planned("study=imagenet", "steps=[gelu]") == [("gelu", 0), ("gelu", 1), ("gelu", 2)]
    assert str(make_plan(["study=smoke", "recipe.lr=1", "steps=[gelu]"]).study) == "runs/smoke,recipe.lr=1"


def test_a_cluster_is_not_part_of_a_study() -> None:
    plan = make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm", "cluster.partition=gpu"])
    assert plan.configs == make_plan(["study=smoke", "steps=[gelu]"]).configs
    assert (plan.jobs, plan.cluster.partition) == (256, "gpu")

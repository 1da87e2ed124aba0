"""The plan of a sweep: which runs, in which order."""

import pytest

from roadmap.config.steps import steps
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan


@pytest.mark.parametrize(
    ("word", "message"),
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
    ],
)
def test_unknown_words_are_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan([word])
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2


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
    changed = make_plan(["study=smoke", "recipe.lr=1", "steps=[gelu]"])
    assert str(changed.study) == "runs/smoke,recipe.lr=1"


def test_a_cluster_is_not_part_of_a_study() -> None:
    plan = make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm", "cluster.partition=gpu"])
    assert plan.configs == make_plan(["study=smoke", "steps=[gelu]"]).configs
    assert (plan.jobs, plan.cluster.partition) == (256, "gpu")

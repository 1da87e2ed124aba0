"""What cannot fit into memory is refused with the estimate, before anything is made."""

from pathlib import Path

import pytest
from helpers.smoke import inside, words

from roadmap.config.capacity import least_memory, machine_memory, refuse_oversized
from roadmap.config.compose import compose
from roadmap.errors import ConfigError
from roadmap.networks.costs import cost
from roadmap.sweep.plan import make_plan


def test_a_huge_image_is_refused_and_nothing_is_made(tmp_path: Path, data_root: Path) -> None:
    run = words(tmp_path / "runs", data_root, "data.img_size=16384", "model.width=16384", "jobs=1")
    for command, own in (("train.py", run[:-1]), ("scripts/sweep.py", run)):
        code, said = inside(command, *own)
        assert code == 2 and not (tmp_path / "runs").exists(), said
        assert "resnet seed 0: needs at least " in said and "micro-batches of 16 images, 16384 pixels: " in said


@pytest.mark.parametrize("step", ["resnet", "inverted_bottleneck", "layer_scale"])
def test_the_estimate_of_weights_is_close_to_the_count_and_below_it(step: str) -> None:
    config = compose(["study=imagenet", *([f"+step={step}"] if step != "resnet" else [])])
    weights = least_memory(config)["weights, gradients and optimizer"] / (16 if step == "resnet" else 20)
    assert 0.7 < weights / cost(config.model).params <= 1


def test_what_is_refused_follows_from_memory_and_from_runs_at_a_time() -> None:
    config = compose(["study=smoke"])
    needed = 150e6 + max(least_memory(config).values())
    refuse_oversized(config, 1.2 * needed)
    for available, processes, said in (
        (1e8, 1, r"^resnet seed 0: needs at least 0\.15 GB of memory, here are 0\.1 GB"),
        (1.2 * needed, 1000, r"^resnet seed 0: 1000 runs at a time \(jobs=1000\) need at least 15\d GB of memory"),
    ):
        with pytest.raises(ConfigError, match=said):
            refuse_oversized(config, available, processes=processes)


def test_more_runs_at_a_time_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(["study=smoke", "seeds=1000", "jobs=10000"])  # 18,000 runs
    monkeypatch.setattr("roadmap.sweep.plan.machine_memory", lambda: 64e9)
    with pytest.raises(ConfigError, match=r"10000 runs at a time \(jobs=10000\) need at least 1,\d\d\d GB of memory"):
        plan.refuse_impossible()


def test_the_memory_of_this_machine_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "max").write_text("1000000\n")
    assert 1e8 < machine_memory() < 1e14
    monkeypatch.setattr("roadmap.config.capacity.LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    assert machine_memory() == 1e6

"""The cost estimate of a sweep, compared with numbers worked out by hand."""

import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.smoke import finished, inside

from roadmap.config.compose import compose
from roadmap.config.schema import Config, Precision
from roadmap.errors import ConfigError
from roadmap.sweep import estimate, speeds
from roadmap.sweep.estimate import ends, fitting, image_counts, run_cost, seconds_of, summary, within
from roadmap.sweep.speeds import Speed
from roadmap.training import throughput


def test_the_cost_of_a_run() -> None:
    config = compose(["study=imagenet"])
    cost = run_cost(config, Speed(1000, 5000, 25_557_032), image_counts(config))
    # 5004 batches of 256 in each of 90 epochs; 50,000 images by raw and averaged weights
    assert cost.seconds == pytest.approx(90 * (5004 * 256 / 1000 + 2 * 50_000 / 5000))
    assert cost.bytes == 3 * 4 * 25_557_032, "weights, average and momentum"
    small = compose(["study=smoke"])
    assert image_counts(small) == (512, 500)
    assert run_cost(small, Speed(1024, 1000, 1000), (512, 500)).seconds == pytest.approx(2 * 512 / 1024 + 2)
    assert run_cost(small, Speed(1024, 1000, 1000), (512, 500), 7.0).seconds == pytest.approx(2 * 512 / 1024 + 9)
    unknown = compose(["data=imagefolder", "data.root=nowhere", "data.num_classes=4"])
    assert image_counts(unknown, "30,20") == (30, 20)
    with pytest.raises(ConfigError, match="images=: allowed is TRAIN,TEST: the number of files"):
        image_counts(unknown)


def test_totals_and_what_fits() -> None:
    one = run_cost(compose(["study=smoke"]), Speed(1024, 1000, 1000), (512, 500))
    costs = [one._replace(step=f"step {hours}", work=3600.0 * hours) for hours in (1, 2, 3)]
    assert list(ends([*costs, costs[0]], 2)) == [3600, 7200, 4 * 3600, 3 * 3600], "a free device takes the next run"
    lines = summary(costs, 4, watts=250, co2=400, price=2)
    assert lines[0] == "3 runs: 6 device hours, 3 h 0 min on 4 devices", "devices do not make the longest run shorter"
    assert lines[2:] == [
        "energy: 1.5 kWh at 250 W per device",
        "CO2: 0.6 kg at 400 g per kWh",
        "price: 12 at 2 per device hour",
    ]
    sizes = [one._replace(bytes=size * 10**9) for size in (1, 2, 3)]
    disk = summary(sizes, 2, watts=1, co2=1, price=1)[1]
    assert disk == "disk: 11 GB of checkpoints", "two runs at work keep a second one"
    assert [within(costs, 1, 3600 * hours) for hours in (0.5, 1, 2.9, 3, 6)] == [0, 1, 1, 2, 3]
    assert [within(costs, 2, 3600 * hours) for hours in (1, 2, 4)] == [1, 2, 3]
    seeds = [fitting(costs, 1, 3600 * hours)[1] for hours in (5, 6, 13)]
    assert seeds == [f"  seeds: {n} of all steps" for n in (0, 1, 2)]
    fixed = [one._replace(work=10.0, startup=10.0)] * 3
    assert [estimate.percent_within(fixed, 1, seconds) for seconds in (20, 30, 45, 60, 99)] == [0, 0, 50, 100, 100]


def test_bfloat16_is_measured_against_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(configs: list[Config], jobs: int, console: object) -> dict[str, Speed]:
        measured.extend((config.step.name, config.recipe.precision.name, jobs) for config in configs)
        images = {Precision.bfloat16: 156, Precision.float32: 275}
        return {config.step.name: Speed(images[config.recipe.precision], 1000, 1) for config in configs}

    monkeypatch.setattr(speeds, "measured_speeds", measure)
    monkeypatch.setattr(estimate, "measured_startup", lambda *_: 1.0)
    words = ["study=smoke", "steps=[resnet,gelu]", "jobs=2"]
    code, said = inside("scripts/plan.py", *words, "recipe.precision=bfloat16")
    assert code == 0 and "bfloat16: 0.57 times the speed of float32, 275 images/s in resnet\n" in said
    assert measured == [("resnet", "bfloat16", 2), ("gelu", "bfloat16", 2), ("resnet", "float32", 2)]
    assert "bfloat16" not in inside("scripts/plan.py", *words)[1]


def test_a_budget_is_a_time() -> None:
    assert [seconds_of(text) for text in ("48h", "90min", "2d", "1.5s")] == [172_800, 5400, 172_800, 1.5]
    for text in ("48", "h", "-1h", "0h", "2 weeks"):
        with pytest.raises(ConfigError, match=f"budget={text}: allowed is a time with its unit"):
            seconds_of(text)


@pytest.mark.parametrize("where", ["jobs=1", pytest.param("cluster=slurm", marks=pytest.mark.slow)])
def test_a_small_study_is_measured(where: str, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["study=smoke", "steps=[gelu]", "seeds=4", where, "budget=1h", "devices=2", f"data.root={data_root}"]
    if where == "jobs=1":  # without new interpreters, which take long to start
        fork = multiprocessing.get_context("fork")
        monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)
        monkeypatch.setattr(throughput, "SECONDS", 0.1)
        monkeypatch.setattr(speeds, "train_command", lambda directory: ["test", "-f", f"{directory}/config.yaml"])
    code, output = (inside if where == "jobs=1" else finished)("scripts/plan.py", *words)
    assert code == 0, output
    assert "4 runs: " in output and "on 2 devices" in output
    assert ("on this machine, 1 at a time: " in output) == (where == "jobs=1")
    assert re.search(r"startup of each run: \d+\.\d s", output)
    assert "1h on 2 devices is enough for:\n  steps: 1 of 1 with one seed\n  seeds: " in output
    assert "  epochs: 100% of them in all 4 runs (2 of 2)" in output
    start = "4 runs: runs/smoke\nmeasuring on this machine's CPU, as it has no GPU: not the speed of a GPU; "
    assert output.startswith(start) and re.search(
        r"\nmeasuring gelu \(1 of 1\), 1 at a time\ngelu: \S+ images/s\n", output
    )


def test_an_interrupted_measurement_gives_an_estimate_of_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))

    def measure(config: Config) -> tuple[float, float, int]:
        if config.step.name == "gelu":
            raise KeyboardInterrupt
        return 512.0, 1536.0, 1

    monkeypatch.setattr(throughput, "measure", measure)
    code, said = inside("scripts/plan.py", "study=smoke", "steps=[resnet,gelu]", "seeds=2", "jobs=1")
    assert code == 130 and "\nresnet: 512 images/s\n" in said
    assert "interrupted: an estimate of the 1 of 2 steps measured so far\n" in said
    assert "2 runs: 0.00183 device hours, 7 s on 1 device\n" in said


def test_no_more_devices_are_planned_than_there_are_runs() -> None:
    code, said = inside("scripts/plan.py", "study=smoke", "steps=resnet", "cluster=slurm", "images_per_second=512")
    assert code == 0 and "1 run: 0.000917 device hours, 3 s on 1 device\n" in said


def test_impossible_words_are_refused() -> None:
    for word, message in (
        ("images=abc", "images=abc: allowed is TRAIN,TEST"),
        ("images=10,20,more", "images=10,20,more: allowed is TRAIN,TEST"),
        ("devices=0.5", "devices=0.5: allowed is 1 to 1000000"),
        ("devices=0", "devices=0: allowed is 1 to 1000000"),
        ("watts=many", "watts=many: allowed is more than 0, up to 1e+15"),
        ("budget=48", "budget=48: allowed is a time with its unit: 48h, 90min, 2d"),
        ("device=8", "(did you mean devices or training.device?)"),
    ):
        code, output = inside("scripts/plan.py", "study=smoke", "steps=gelu", "images_per_second=100", word)
        assert code == 2 and message in output


def test_a_budget_is_spent_on_steps_seeds_or_epochs() -> None:
    words = ["study=smoke", "steps=[resnet,gelu,layer_norm]", "seeds=2", "images_per_second=512", "jobs=1"]
    # Each run: 2 epochs of 512 images at 512 per second, and 2 times 500 images twice at 1536: 3.3 s.
    code, output = inside("scripts/plan.py", *words, "budget=10s", "devices=1")
    assert code == 0 and "on this machine" not in output
    assert re.search(r"step +┃ +images/s +┃ +s per run +┃ +runs +┃ +device hours", output)
    assert re.search(r"gelu +│ +512 +│ +3\.30 +│ +2 +│ +0\.00183", output)
    wanted = "  steps: 3 of 3 with one seed\n  seeds: 1 of all steps\n  epochs: 50% of them in all 6 runs (1 of 2)"
    assert wanted in output
    code, output = inside("scripts/plan.py", *words, "budget=7s", "devices=1")
    assert "  steps: 2 of 3 with one seed, up to gelu\n  seeds: 0 of all steps\n" in output

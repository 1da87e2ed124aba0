"""What a sweep will take, by hand."""

from pathlib import Path

import pytest
from smoke import inside, script

from roadmap.config import compose
from roadmap.ladder.expense import Rates, Speed, expense, images_of, total, within
from roadmap.schema import ConfigError


def test_the_expense_of_a_run_by_hand() -> None:
    config = compose(["study=imagenet"])
    each = expense(config, Speed(1000, 5000, 25_557_032), images_of(config))
    # 5004 batches of 256 in each of 90 epochs; 50,000 images by raw and averaged weights
    assert each.seconds == pytest.approx(90 * (5004 * 256 / 1000 + 2 * 50_000 / 5000))
    assert each.bytes == 2 * 3 * 4 * 25_557_032, "weights, average and momentum, twice"
    small = compose(["study=smoke"])
    assert images_of(small) == (512, 500)
    assert images_of(compose(["data=imagefolder", "data.root=x", "data.num_classes=4"]), (30, 20)) == (30, 20)
    with pytest.raises(ConfigError, match="images=: allowed is TRAIN,TEST: the number of files"):
        images_of(compose(["data=imagefolder", "data.root=x", "data.num_classes=4"]))


def test_sums_and_budgets_by_hand() -> None:
    config = compose(["study=smoke"])
    one = expense(config, Speed(1024, 1000, 1000), (512, 500))
    assert one.seconds == pytest.approx(2 * 512 / 1024 + 2)
    runs = [one._replace(seconds=3600.0 * hours) for hours in (1, 2, 3)]
    sums = total(runs, Rates(devices=4, watts=250, co2=400, price=2))
    assert (sums.hours, sums.days) == (6, 3 / 24), "no number of devices makes the longest run shorter"
    assert (sums.kwh, sums.kg, sums.price) == (1.5, 0.6, 12)
    assert [within(runs, hours) for hours in (0.5, 1, 2.9, 3, 6)] == [0, 1, 1, 2, 3]


def test_the_plan_of_a_small_study_is_measured(tmp_path: Path) -> None:
    run = script("scripts/plan.py", "study=smoke", "steps=[gelu]", "seeds=4", "jobs=1", "budget=1", "devices=2")
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "4 runs: " in output and "on 2 devices" in output
    assert "1 device hour: the first 4 of 4 runs, or all with 100% of the epochs" in output
    assert output.startswith("measuring gelu (1 of 1), 1 at a time\n")
    code, output = inside("scripts/plan.py", "study=smoke", "steps=gelu", "jobs=1", "images_per_second=100")
    assert code == 0 and "1 run: " in output and " on 1 device\n" in output
    code, output = inside("scripts/plan.py", "study=smoke", "device=8")
    assert code == 2 and "device=8: allowed is study=... devices=..." in output and "(did you mean devices?)" in output
    code, output = inside("scripts/plan.py", "study=smoke", "steps=[gelu]", "watts=many")
    assert code == 2 and "watts=many: allowed is a number more than 0" in output

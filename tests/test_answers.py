"""What a result keeps of the answers on test images: of a real run, and where it contradicts its counts."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.synthetic import result, stored_answers

from roadmap import runs
from roadmap.answers import by_class, confusion, right
from roadmap.errors import ConfigError
from roadmap.runs import read_result, write_result


def test_a_run_keeps_its_answers_and_its_test_loss(undisturbed: Path) -> None:
    found = read_result(undisturbed / runs.RESULT)
    images, counts, metrics = found["test_images"], found["counts"], found["metrics"]
    for name in ("top1", "ema_top1"):
        answered = right(found, name)
        assert answered is not None and (answered.shape, int(answered.sum())) == ((images,), counts[name])
    matrix, classes = confusion(found), by_class(found)
    assert matrix and classes and sum(map(sum, matrix)) == images
    assert sum(own for own, _ in classes) == counts["top1"] == sum(matrix[i][i] for i in range(10))
    last = json.loads((undisturbed / runs.METRICS).read_text().splitlines()[-1])
    assert {name: metrics[name] for name in ("test_loss", "ema_test_loss")} == {
        name: last[name] for name in ("test_loss", "ema_test_loss")
    }
    assert 0 < metrics["test_loss"] < 100
    saved = torch.load(undisturbed / runs.CHECKPOINT, weights_only=True)
    assert saved["answers"] == found["answers"], "a run that is resumed after its last epoch has them too"


def test_older_results_have_none() -> None:
    old = result("gelu")
    assert right(old) is confusion(old) is by_class(old) is None


def test_answers_of_made_up_results_by_hand() -> None:
    made = result("gelu", correct=8000)
    made["answers"] = stored_answers(made)
    answered, classes = right(made), by_class(made)
    assert answered is not None and answered[:8000].all() and not answered[8000:].any()
    assert classes == [[800, 1000]] * 10
    many = made | {"answers": {"right": {}, "by_class": ["7 9", "1 1"]}}
    assert (confusion(many), by_class(many)) == (None, [[7, 9], [1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept["right"].update(top1="AAAA"), "answers.right.top1=AAAA: allowed is a bit for each of 10000"),
        (lambda kept: kept["right"].update(top1="////" * 417), "a bit for each of 10000 images, 8000 of them set"),
        (lambda kept: kept["right"].update(top1="<b>"), "answers.right.top1=<b>: allowed is base64"),
        (lambda kept: kept["right"].update(top1="A"), "answers.right.top1=A: allowed is a bit"),
        (lambda kept: kept["right"].update(other="AAAA"), "answers.right.other=AAAA: allowed is a bit"),
        (lambda kept: kept["confusion"].pop(), "answers.confusion=: allowed is 10 rows of 10 numbers"),
        (lambda kept: kept["confusion"].__setitem__(0, "1 2"), "answers.confusion=: allowed is 10 rows of 10 numbers"),
        (lambda kept: kept["confusion"].__setitem__(0, "-1 2"), "allowed is whole numbers with spaces"),
        (
            lambda kept: kept["confusion"].__setitem__(0, "9 0 0 0 0 0 0 0 0 0"),
            "[7209, 9009]: allowed is [8000, 10000]",
        ),
        (lambda kept: kept.update(by_class=["1 1"]), "answers.by_class=: allowed is 10 rows of 2 numbers"),
    ],
)
def test_answers_that_contradict_the_counts_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    made = result("gelu", correct=8000)
    made["answers"] = stored_answers(made)
    read_result(_written(tmp_path, made))
    change(spoilt := copy.deepcopy(made["answers"]))
    with pytest.raises(ConfigError) as refusal:
        read_result(_written(tmp_path, made | {"answers": spoilt}))
    assert message in str(refusal.value) and str(tmp_path) in str(refusal.value)


def _written(directory: Path, content: dict[str, Any]) -> Path:
    write_result(directory / runs.RESULT, content)
    return directory / runs.RESULT

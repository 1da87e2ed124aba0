"""Counts of answers: every image once, whatever the batches and the processes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadmap.data.loader import evaluated
from roadmap.evals.accuracy import Answers, evaluate, stored, together

CLASSES = torch.arange(7)
LOGITS = torch.eye(7)
LOGITS[3] = torch.tensor([9, 8, 7, 5, 6, 0, 0.0])  # right at the fifth guess
LOGITS[4] = torch.tensor([9, 8, 7, 6, 0, 5, 1.0])  # not within five


def answers(positions: tuple[Tensor, ...]) -> list[Answers]:
    """Of a network that answers with its input, and of one that finds all classes alike."""
    models = [nn.Identity(), nn.Threshold(100, 0)]
    return evaluate(models, ((LOGITS[batch], CLASSES[batch]) for batch in positions), num_classes=7)


def test_evaluation_counts_every_image_once() -> None:
    found, alike = answers(evaluated(7, 3))
    assert found.counts.tolist() == [[1, 1, 1]] * 3 + [[1, 0, 1], [1, 0, 0]] + [[1, 1, 1]] * 2
    assert alike.counts.sum(0).tolist() == [7, 1, 5]
    assert (found.classes.tolist(), found.guesses.tolist()) == ([*range(7)], [0, 1, 2, 0, 0, 5, 6])
    assert alike.loss == pytest.approx(7 * math.log(7))


@pytest.mark.parametrize("processes", [2, 3, 5])  # of five, two have no batch
def test_several_processes_have_the_answers_of_one_exactly(processes: int) -> None:
    one = answers(evaluated(7, 3))
    for model in range(2):
        shares = [evaluated(7, 3, (rank, processes)) for rank in range(processes)]
        own = [answers(share)[model] for share in shares]
        padded = [
            together(each, torch.cat([torch.arange(0), *share]), 7, lambda values: values)
            for each, share in zip(own, shares, strict=True)
        ]
        counts, classes, guesses, losses = zip(*padded, strict=True)
        for summed, whole in ((sum(counts), "counts"), (sum(classes), "classes"), (sum(guesses), "guesses")):
            assert torch.equal(summed, getattr(one[model], whole))
        assert sum(losses) == pytest.approx(one[model].loss, rel=1e-12)


def test_a_result_keeps_a_bit_per_image_and_the_images_of_each_pair_of_classes() -> None:
    found, alike = answers(evaluated(7, 3))
    first = alike._replace(guesses=torch.zeros(7, dtype=torch.int64))
    kept = stored({"top1": found, "ema_top1": first})
    assert kept["right"] == {"top1": "5g==", "ema_top1": "gA=="}  # 1110011(0) and 1000000(0)
    assert kept["confusion"] == ["1 0 0 0 0 0 0", "0 1 0 0 0 0 0", "0 0 1 0 0 0 0", "1 0 0 0 0 0 0", "1 0 0 0 0 0 0",
                                 "0 0 0 0 0 1 0", "0 0 0 0 0 0 1"]  # fmt: skip
    assert kept.keys() == {"right", "confusion"}


def test_of_many_classes_a_result_keeps_the_counts_by_class_and_stays_small() -> None:
    classes = torch.arange(10_000) % 101
    guesses = torch.where(torch.arange(10_000) < 9_000, classes, 0)
    counts = torch.stack([torch.bincount(each, minlength=101) for each in (classes, classes[classes == guesses])], 1)
    kept = stored({"top1": Answers(counts, classes, guesses, 0.0)})
    assert kept.keys() == {"right", "by_class"}
    assert (len(kept["by_class"]), kept["by_class"][0], kept["by_class"][100]) == (101, "100 100", "89 99")
    assert len(kept["right"]["top1"]) == 1668
    matrix = stored({"top1": Answers(counts[:100], classes % 100, guesses % 100, 0.0)})["confusion"]
    assert np.array([row.split() for row in matrix], dtype=int).sum() == 10_000 and len("".join(matrix)) < 25_000

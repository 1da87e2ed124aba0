"""Accuracy and confusions by class, worked out by hand."""

from typing import Any

from helpers.synthetic import result, stored_answers

from roadmap.report.classes import classes_of, names_of


def run(step: str, seed: int, correct: int, wrong: int = 0, **more: Any) -> dict[str, Any]:
    """A result with `correct` of 10,000 images, the same share of each class; all wrong guesses are one class."""
    made = result(step, seed, correct=correct)
    return made | {"answers": stored_answers(made, wrong)} | more


def test_accuracies_and_confusions_are_means_over_seeds_with_their_difference_to_the_parent() -> None:
    own = [run("gelu", 0, 8000), run("gelu", 1, 9000)]
    found = classes_of(own, [run("large_kernel", 0, 8200, wrong=2)])
    assert found is not None and (found.total, found.runs, found.margin) == (10, 2, "2.2")
    name, images, cell = found.accuracies[3]
    assert (name, images, cell.text, cell.difference, cell.change) == ("3 Dress", 1000, "85.0", "+3.0", 0.3)
    rows = {name: cells for name, cells in found.matrix}
    assert [cell.text for cell in rows["3 Dress"][:5]] == ["15.0", "0.0", "0.0", "85.0", "0.0"]
    assert [cell.difference for cell in rows["3 Dress"][:5]] == ["+15.0", "0.0", "-18.0", "+3.0", "0.0"]
    assert [cell.change for cell in rows["3 Dress"][:5]] == [-1.0, 0.0, 1.0, 0.3, 0.0], "fewer confusions are better"
    actual, predicted, cell = found.confusions[0]
    assert (actual, predicted, cell.text) == ("0 T-shirt/top", "1 Trouser", "15.0")


def test_without_answers_of_the_parent_there_are_no_differences_and_without_own_ones_nothing() -> None:
    old = result("large_kernel")
    found = classes_of([run("gelu", 0, 8000), result("gelu", 1)], [old])
    assert found is not None and found.runs == 1
    assert {cell.difference for _, _, cell in found.accuracies} == {""}
    assert classes_of([result("gelu")], [run("large_kernel", 0, 8000)]) is None


def many(right: list[int]) -> dict[str, Any]:
    """A result with 200 images of each of 100 classes."""
    made = result("gelu", data__num_classes=100)
    return made | {"answers": {"right": {}, "by_class": [f"{each} 200" for each in right]}}


def test_of_many_classes_those_that_changed_most_or_are_hardest_are_listed() -> None:
    own = [many([50 + i for i in range(100)])]
    changed, hardest = classes_of(own, [many([100] * 100)]), classes_of(own, [])
    assert changed is not None and hardest is not None
    assert [name for name, _, _ in hardest.accuracies] == [*"0123456789"]
    assert [cell.difference for _, _, cell in changed.accuracies] == [
        "-25.0", "-24.5", "-24.0", "-23.5", "-23.0", "+22.5", "+23.0", "+23.5", "+24.0", "+24.5",
    ]  # fmt: skip
    assert (changed.total, changed.matrix, changed.confusions) == (100, [], [])


def test_names_are_those_of_the_run_else_of_the_data_else_numbers() -> None:
    assert names_of(result("gelu"))[9] == "9 Ankle boot"
    assert names_of(result("gelu") | {"classes": [*"abcdefghij"]})[1] == "1 b"
    assert names_of(result("gelu") | {"classes": ["a"]})[1] == "1"
    assert names_of(result("gelu", data__name="imagefolder"))[1] == "1"

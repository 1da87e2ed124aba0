"""A loss, a gradient or a weight that is not a number: stopped, or rolled back, by all processes alike."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.processes import exit_codes, forked, train
from helpers.smoke import computed, prepared

from roadmap import runs
from roadmap.errors import NonFiniteLoss
from roadmap.training import loop
from roadmap.training.run import execute
from roadmap.training.state import State


def spoil(patch: pytest.MonkeyPatch, what: str, *, times: int, at: int = 6) -> None:
    """Let hardware fail so many times when a step is taken: its loss, a gradient, or a weight after it is no number."""
    taken, left = loop.train_step, [times]

    def step(state: State, *more: Any, **named: Any) -> float:
        parameter = next(state.model.parameters())
        if state.step != at or not left[0]:
            return taken(state, *more, **named)
        left[0] -= 1
        if what == "loss":
            torch.nn.init.constant_(parameter, float("nan"))
        if what == "gradient":
            parameter.register_hook(lambda gradient: gradient * float("inf"))
        loss = taken(state, *more, **named)
        if what == "weight":
            with torch.no_grad():
                parameter.view(-1)[0] = float("inf")
        return loss

    patch.setattr(loop, "train_step", step)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("loss", r"loss is nan at step 6 of gelu: first not finite: stem\."),
        pytest.param("gradient", r"gradients at step 6 of gelu: first not finite: stem\.", marks=pytest.mark.slow),
        ("weight", r"loss is nan at step 7 of gelu: first not finite: stem\."),
    ],
)
def test_one_nonfinite_number_stops_the_run_or_is_rolled_back(
    what: str, said: str, undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkpoint is due after every step, so also after the one that leaves a weight that is no number.
    often = ("training.checkpoint_minutes=0.0000001",)
    stopped = prepared(tmp_path / "stop", data_root, *often)
    back = prepared(tmp_path / "back", data_root, *often, "training.on_nonfinite=rollback")
    for directory in (stopped, back):
        with monkeypatch.context() as patch:
            spoil(patch, what, times=1)
            if directory is stopped:
                with pytest.raises(NonFiniteLoss, match=said):
                    execute(directory)
                failure = runs.read_json(directory / runs.FAILURE) or {}
                assert failure["error"].startswith("NonFiniteLoss: ") and "Traceback" in failure["traceback"]
                assert not (directory / runs.RESULT).exists()
            else:
                assert execute(directory)["rollbacks"] == 1
    assert computed(back) == computed(undisturbed) | {"rollbacks": 1}
    execute(stopped)
    assert computed(stopped) == computed(undisturbed)


def test_repeated_nonfinite_numbers_stop_the_run_after_the_allowed_rollbacks(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = prepared(tmp_path, data_root, "training.on_nonfinite=rollback", "training.rollbacks=2")
    spoil(monkeypatch, "loss", times=100)
    with pytest.raises(NonFiniteLoss, match="at step 6"):
        execute(directory)
    said = capsys.readouterr().out
    assert [f"back to the last checkpoint, {n} of 2 times" in said for n in (1, 2, 3)] == [True, True, False]
    assert not (directory / runs.RESULT).exists()


@pytest.mark.slow
def test_a_nonfinite_number_in_one_process_is_rolled_back_in_all(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(directory: Path, times: int) -> None:
        if os.environ["RANK"] == "1":
            spoil(monkeypatch, "gradient", times=times)
        train(directory)

    found = []
    for times, codes in ((0, [0, 0]), (1, [0, 0]), (100, [1, 1])):
        asked = ("training.on_nonfinite=rollback", "training.rollbacks=1")
        directory = prepared(tmp_path / f"{times}", data_root, *asked)
        assert exit_codes(forked(2, work, directory, times)) == codes
        said = capfd.readouterr().out
        assert said.count("back to the last checkpoint, 1 of 1 times") == (times > 0), said
        if codes == [0, 0]:
            found.append(computed(directory) | {"rollbacks": None})
    assert found[0] == found[1] and not runs.finished(directory)
    assert "gradients at step 6 of gelu" in (runs.read_json(directory / runs.FAILURE) or {})["error"]

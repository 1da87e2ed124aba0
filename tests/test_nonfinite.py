"""A loss, a gradient or a weight that is not a number: stopped, or rolled back, by all processes alike."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.smoke import computed, prepared, torchrun, words

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
def test_a_nonfinite_number_in_one_process_is_rolled_back_in_all(tmp_path: Path, data_root: Path) -> None:
    more = ["+step=layer_norm", "budget.bn_batch_size=8", "training.on_nonfinite=rollback", "training.rollbacks=1"]
    more += ["training.checkpoint_minutes=0"]
    found = []
    for fault in ("none", "once", "ever"):
        arguments = words(tmp_path / fault, data_root, *more)
        run = torchrun(2, "tests/helpers/nonfinite.py", fault, *arguments)
        output, _ = run.communicate(timeout=120)
        assert output.count("back to the last checkpoint, 1 of 1 times") == (fault != "none"), output
        directory = tmp_path / fault / "tiny/layer_norm/seed-0"
        if fault == "ever":
            assert run.returncode != 0 and "failed: gradients at step 2 of layer_norm" in output, output
            assert not (directory / runs.RESULT).exists()
        else:
            assert run.returncode == 0, output
            found.append(computed(directory) | {"rollbacks": None})
    assert found[0] == found[1]

"""Several processes compute what one does: real processes, started by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import first_epoch
from smoke import ROOT, computed, words

from roadmap import runs

STILL = ("recipe.mixup_prob=0", "recipe.drop_path=0")
"""What is drawn by the forward pass would differ between one pass and two."""


def torchrun(processes: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    # A session of its own, so that a test can press Ctrl-C in it.
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def step(directory: Path, data_root: Path, *more: str, processes: int) -> dict[str, Any]:
    """What one optimizer step of a batch of 48 leaves, alike in all processes."""
    directory.mkdir()
    own = ["data.max_train=48", "budget.batch_size=48", *more]
    arguments = words(directory, data_root, *own)
    if processes == 1:
        first_epoch(directory, arguments)
    else:
        run = torchrun(processes, "tests/ranks.py", str(directory), *arguments)
        output, _ = run.communicate()
        assert run.returncode == 0, output
    left = [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in range(processes)]
    for other in left[1:]:
        assert other["loss"] == left[0]["loss"]
        for kind in ("gradients", "buffers"):
            assert all(torch.equal(value, other[kind][name]) for name, value in left[0][kind].items()), kind
    return dict(left[0])


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """How far two sets of tensors are apart, as a share of their norm."""
    assert a.keys() == b.keys()
    one, other = (torch.cat([values[key].flatten().double() for key in b]) for values in (a, b))
    return float((one - other).norm() / other.norm())


def test_gradients_do_not_depend_on_how_the_batch_is_divided(tmp_path: Path, data_root: Path) -> None:
    network = ["+step=layer_norm", *STILL]
    whole = step(tmp_path / "whole", data_root, *network, "budget.bn_batch_size=48", processes=1)
    accumulated = step(tmp_path / "accumulated", data_root, *network, "budget.bn_batch_size=24", processes=1)
    two = step(tmp_path / "two", data_root, *network, "budget.bn_batch_size=24", processes=2)
    both = step(tmp_path / "both", data_root, *network, "budget.bn_batch_size=12", processes=2)
    for other in (accumulated, two, both):
        assert other["steps"] == whole["steps"] == 1
        assert other["loss"] == pytest.approx(whole["loss"], rel=1e-6)
        assert apart(other["gradients"], whole["gradients"]) < 1e-6


def test_batch_norm_sees_its_own_pass_in_any_process(tmp_path: Path, data_root: Path) -> None:
    network = ["+step=large_kernel", "budget.bn_batch_size=8"]  # with mixup and stochastic depth
    one = step(tmp_path / "one", data_root, *network, processes=1)
    three = step(tmp_path / "three", data_root, *network, processes=3)
    assert three["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert apart(three["gradients"], one["gradients"]) < 1e-5  # batch norm divides by small deviations
    assert apart(three["buffers"], one["buffers"]) < 1e-6
    counts = [value for name, value in three["buffers"].items() if name.endswith("num_batches_tracked")]
    assert counts and all(int(count) == 6 for count in counts)


def test_a_run_is_the_same_by_one_two_and_three_processes(tmp_path: Path, data_root: Path) -> None:
    found = []
    for processes in (1, 2, 3):
        directory = tmp_path / str(processes)
        more = [
            "+step=layer_norm",
            "recipe.opt=sgd",
            "recipe.lr=0.01",
            "budget.batch_size=48",
            "budget.bn_batch_size=8",
        ]
        arguments = ["train.py", *words(directory, data_root, *more)]
        run = torchrun(processes, *arguments)
        output, _ = run.communicate()
        assert run.returncode == 0, output
        assert output.count("layer_norm seed 0: top-1") == 1, "one process speaks"
        found.append(computed(directory / "tiny/layer_norm/seed-0"))
    assert len({(f["top1_count"], f["top5_count"], f["ema_top1_count"], f["test_images"]) for f in found}) == 1
    for other in found[1:]:
        assert [line["step"] for line in other["lines"]] == [line["step"] for line in found[0]["lines"]]
        losses = [[line["loss"] for line in f["lines"]] for f in (other, found[0])]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def waiting_for_steps(directory: Path, run: subprocess.Popen[str]) -> None:
    """Return when a run has taken some steps."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and run.poll() is None:
        if (runs.read_json(directory / runs.PROGRESS) or {"step": 0})["step"] > 1:
            return
        time.sleep(0.05)
    raise AssertionError(run.communicate()[0])


@pytest.mark.parametrize("how", ["terminated", "ctrl-c"])
def test_stopped_by_a_signal_it_goes_on_with_another_number_of_processes(
    how: str, tmp_path: Path, data_root: Path
) -> None:
    more = ["+step=layer_norm", "budget.epochs=60", "budget.bn_batch_size=8"]
    directory = tmp_path / "tiny/layer_norm/seed-0"
    run = torchrun(2, "train.py", *words(tmp_path, data_root, *more))
    waiting_for_steps(directory, run)
    run.terminate() if how == "terminated" else os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert run.returncode != 0
    assert "the same command goes on from here" in output, output
    assert (directory / runs.CHECKPOINT).exists() and not (directory / runs.RESULT).exists()
    assert not (directory / runs.FAILURE).exists()
    again = subprocess.Popen(
        [sys.executable, "train.py", *words(tmp_path, data_root, *more)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    output, _ = again.communicate()
    assert again.returncode == 0 and "going on from step" in output


def test_a_process_that_dies_takes_the_others_down_with_its_reason(tmp_path: Path, data_root: Path) -> None:
    directory = tmp_path / "tiny/layer_norm/seed-0"
    run = torchrun(2, "train.py", *words(tmp_path, data_root, "+step=layer_norm", "budget.epochs=500"))
    waiting_for_steps(directory, run)
    workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=True).stdout.split()
    started = time.monotonic()
    os.kill(int(workers[-1]), signal.SIGKILL)
    output, _ = run.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert run.returncode != 0 and "Signal 9 (SIGKILL)" in output
    assert "rror" in json.loads((directory / runs.FAILURE).read_text())["error"]


def test_passes_that_cannot_be_shared_evenly_are_refused(tmp_path: Path, data_root: Path) -> None:
    run = torchrun(3, "train.py", *words(tmp_path, data_root, "+step=layer_norm"))
    output, _ = run.communicate()
    assert run.returncode != 0
    assert "recipe.bn_batch_size=16: allowed is what divides recipe.batch_size so that 3 processes share" in output

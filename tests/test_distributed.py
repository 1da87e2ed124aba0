"""Several processes compute the same as one: real processes, forked here or started by torchrun."""

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
from helpers.processes import exit_codes, forked
from helpers.smoke import at_step, computed, tiny, torchrun, words

from roadmap import runs
from roadmap.cli import run
from roadmap.config.compose import compose, load
from roadmap.config.conf import to_dict
from roadmap.config.schema import Device
from roadmap.data.loader import load as load_data
from roadmap.errors import ConfigError
from roadmap.networks.device import set_up
from roadmap.training import checkpoint, command
from roadmap.training.checkpoint import Checkpointer
from roadmap.training.command import main
from roadmap.training.distributed import World, joined
from roadmap.training.loop import refuse_processes, train_epoch
from roadmap.training.progress import Progress
from roadmap.training.run import execute
from roadmap.training.state import initial_state

CPU = torch.device("cpu")
STILL = ("recipe.mixup_prob=0", "recipe.drop_path=0")
"""Draws by micro-batch would differ between one micro-batch and two."""


def first_epochs(directory: Path, jobs: dict[str, list[str]]) -> None:
    """Of each job write directory/<name>-<rank>.pt: gradients, buffers and loss of an epoch, the number of steps."""
    with joined() as world:
        for job, words in jobs.items():
            config = compose(words)
            state = initial_state(config, set_up(config), world)
            with Progress(config, directory, speaks=False) as progress:
                checkpointer = Checkpointer(directory=directory, config=config, world=world, progress=progress)
                training = load_data(config, train=True)
                train_epoch(state, training, checkpointer, stop=[])
            gradients = {name: p.grad for name, p in state.model.named_parameters()}
            left = {"gradients": gradients, "buffers": dict(state.model.named_buffers())}
            torch.save(left | {"loss": state.loss_sum, "steps": state.step}, directory / f"{job}-{world.rank}.pt")


def one_step(directory: Path, jobs: dict[str, list[str]], *, processes: int) -> list[dict[str, Any]]:
    """Gradients, buffers and loss of one optimizer step of each job, the same in all processes."""
    if processes == 1:
        first_epochs(directory, jobs)
    else:
        assert exit_codes(forked(processes, first_epochs, directory, jobs)) == [0] * processes
    found = []
    for job in jobs:
        left = [torch.load(directory / f"{job}-{rank}.pt", weights_only=True) for rank in range(processes)]
        for other in left[1:]:
            assert other["loss"] == left[0]["loss"]
            for kind in ("gradients", "buffers"):
                assert all(torch.equal(value, other[kind][name]) for name, value in left[0][kind].items()), kind
        found.append(left[0])
    return found


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Relative distance of two sets of tensors."""
    assert a.keys() == b.keys()
    one, other = (torch.cat([values[key].flatten().double() for key in b]) for values in (a, b))
    return float((one - other).norm() / other.norm())


def test_processes_need_own_gpus_and_micro_batches(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    config = tiny(tmp_path, data_root)
    allowed = r"allowed is cpu, or no more processes on a machine than its visible GPUs \(1\)"
    with pytest.raises(ConfigError, match=f"training.device=auto: {allowed}"):
        set_up(config, local_rank=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config.training.device = Device.cuda
    with pytest.raises(ConfigError, match="no CUDA here"):
        set_up(config)
    allowed = r"allowed is a size that divides a step into micro-batches \(now 2\) which 3"
    with pytest.raises(ConfigError, match=rf"recipe\.bn_batch_size=16: {allowed}"):
        refuse_processes(config, World(0, 3), CPU)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_refusal_is_said_by_the_first_process_alone(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 3, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    for key, value in place.items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setattr(command, "QUIET_SECONDS", 0.0)
    for word, said in (
        ("recipe.lrr=1", "did you mean lr"),
        ("recipe.epochs=2", "gelu: recipe.bn_batch_size=64: allowed"),
    ):
        code = run("train", main, ["study=smoke", "+step=gelu", f"runs_dir={tmp_path}", word])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "") and (said in err if rank == 0 else err == "")
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> dict[str, dict[str, Any]]:
    """A step of 48 images by one process and by two, divided in several ways."""
    directory = tmp_path_factory.mktemp("steps")

    def job(size: int) -> list[str]:
        own = ["data.max_train=48", "budget.batch_size=48", f"budget.bn_batch_size={size}"]
        return words(directory, data_root, "+step=layer_norm", *STILL, *own)

    one, two = {"whole": job(48), "accumulated": job(24)}, {"shared": job(24), "both": job(12)}
    return {
        name: found
        for processes, jobs in ((1, one), (2, two))
        for name, found in zip(jobs, one_step(directory, jobs, processes=processes), strict=True)
    }


@pytest.mark.xdist_group("steps")
@pytest.mark.parametrize("how", ["accumulated", "shared", "both"])
def test_gradients_do_not_depend_on_how_the_batch_is_divided(how: str, steps: dict[str, dict[str, Any]]) -> None:
    other, whole = steps[how], steps["whole"]
    assert other["steps"] == whole["steps"] == 1
    assert other["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert apart(other["gradients"], whole["gradients"]) < 1e-6


def test_batch_norm_sees_the_same_micro_batches_in_any_process(tmp_path: Path, data_root: Path) -> None:
    own = ["data.max_train=48", "budget.batch_size=48", "budget.bn_batch_size=8"]
    # With mixup and stochastic depth.
    job = {"large_kernel": words(tmp_path, data_root, "+step=large_kernel", *own)}
    (one,), (three,) = (one_step(tmp_path, job, processes=processes) for processes in (1, 3))
    assert three["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert apart(three["gradients"], one["gradients"]) < 1e-5  # batch norm divides by small deviations
    assert apart(three["buffers"], one["buffers"]) < 1e-6
    assert {int(count) for name, count in three["buffers"].items() if name.endswith("num_batches_tracked")} == {6}


def test_synchronized_batch_norm_is_torchs_refused_without_gpus_and_keeps_its_number_of_processes(
    tmp_path: Path, data_root: Path
) -> None:
    config = tiny(tmp_path, data_root, "+step=large_kernel")
    usual = initial_state(config, CPU, World())
    config.recipe.sync_bn = True
    state = initial_state(config, CPU, World())
    norms = [module for module in state.model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms and all(type(module) is torch.nn.SyncBatchNorm for module in norms)
    assert all(type(module) is not torch.nn.SyncBatchNorm for module in state.ema.module.modules())
    for (name, a), b in zip(state.model.state_dict().items(), usual.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    with pytest.raises(ConfigError, match=r"sync_bn=True: allowed is false on a CPU: torch\.nn\.SyncBatchNorm needs"):
        execute(runs.prepare(config))
    with pytest.raises(ConfigError, match=r"sync_bn=True: allowed is false with one process"):
        refuse_processes(config, World(), torch.device("cuda"))
    with Progress(config, tmp_path, speaks=False) as progress:
        checkpointer = Checkpointer(directory=tmp_path, config=config, world=World(), progress=progress)
        state = checkpointer.begin(CPU)
        state.world = World(0, 2)
        checkpointer.save(state)
        with pytest.raises(ConfigError, match=r"sync_bn=True: allowed is 2 processes, as the run began, not 1"):
            checkpointer.begin(CPU)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_a_run_is_the_same_by_one_process_and_by_torchrun_with_a_stop(
    processes: int, tmp_path: Path, data_root: Path
) -> None:
    sgd = ["+step=layer_norm", "recipe.opt=sgd", "recipe.lr=0.01", "budget.batch_size=48", "budget.bn_batch_size=8"]
    execute(runs.prepare(tiny(tmp_path / "one", data_root, *sgd, "budget.epochs=8")))
    command = ("train.py", *words(tmp_path / "several", data_root, *sgd, "budget.epochs=8"))
    run = torchrun(processes, *command)
    waiting_for_steps(tmp_path / "several/tiny/layer_norm/seed-0")
    os.killpg(run.pid, signal.SIGINT) if processes == 2 else run.terminate()
    output, _ = run.communicate(timeout=30)
    assert run.returncode != 0 and "the same command resumes it" in output, output
    run = torchrun(processes, *command)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert output.count("layer_norm seed 0: top-1") == 1, "one process speaks"
    assert output.count("ready in") == 1 and "Warning" not in output, output
    one, several = (computed(tmp_path / name / "tiny/layer_norm/seed-0") for name in ("one", "several"))
    assert (several["counts"], several["test_images"]) == (one["counts"], one["test_images"])
    assert several["answers"] == one["answers"]
    assert [line["step"] for line in several["lines"]] == [line["step"] for line in one["lines"]]
    losses = [[line["loss"] for line in found["lines"]] for found in (several, one)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.slow
def test_torchrun_ends_and_names_the_signal_if_one_of_its_processes_is_killed(tmp_path: Path, data_root: Path) -> None:
    run = torchrun(2, "train.py", *words(tmp_path, data_root, "+step=layer_norm", "budget.epochs=500"))
    waiting_for_steps(tmp_path / "tiny/layer_norm/seed-0")
    workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    output, _ = run.communicate(timeout=30)
    assert run.returncode != 0 and "Signal 9 (SIGKILL)" in output, output
    assert "rror" in json.loads((tmp_path / "tiny/layer_norm/seed-0" / runs.FAILURE).read_text())["error"]


def waiting_for_steps(directory: Path) -> int:
    """Return when a run has taken some steps, with their number."""
    deadline = time.monotonic() + 60
    while not (steps := int((runs.read_json(directory / runs.PROGRESS) or {"step": 0})["step"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return steps


def test_stopped_by_a_signal_it_resumes_with_another_number_of_processes(
    tmp_path: Path, data_root: Path, capfd
) -> None:
    more = ["+step=layer_norm", "budget.epochs=4", "training.checkpoint_epochs=100", "training.checkpoint_minutes=0"]
    directory = runs.prepare(tiny(tmp_path, data_root, *more))
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 3, lambda: signal.raise_signal(signal.SIGINT))
        started = forked(2, lambda: sys.exit(main([f"run={directory}"])))
    assert exit_codes(started) == [128 + signal.SIGINT] * 2
    assert capfd.readouterr().err.count("the same command resumes it") == 2
    assert (directory / runs.CHECKPOINT).exists() and not (directory / runs.RESULT).exists()
    assert not (directory / runs.FAILURE).exists()
    assert checkpoint.restore(directory, to_dict(load(directory / runs.CONFIG)))["step"] >= 3  # type: ignore[index]
    assert execute(directory)["hardware"]["processes"] == 1
    assert runs.finished(directory)


def test_a_process_that_dies_ends_the_others(tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, "+step=layer_norm", "budget.epochs=500"))
    first, last = forked(2, execute, directory)
    waiting_for_steps(directory)
    last.kill()
    assert exit_codes([first]) == [1]
    assert "rror" in json.loads((directory / runs.FAILURE).read_text())["error"]

"""Options that make training steps fast: precision, compiling, kept memory."""

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.smoke import ROOT, tiny
from torch import nn

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import difference, digest
from roadmap.config.schema import Precision
from roadmap.config.steps import deviations
from roadmap.networks.device import arithmetic, compiled, compiles
from roadmap.networks.ladder import build
from roadmap.training.run import execute

CPU = torch.device("cpu")
MEASURED = """
import resource, torch
from roadmap.networks.device import peak_memory_mb, tune_malloc

tune_malloc(keep=True)
pages = []
for _ in range(4):
    torch.ones(16 << 20)  # 64 MB, 16,384 pages of 4 kB
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(pages[-1] - pages[0], peak_memory_mb(torch.device("cpu")))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's")
def test_what_a_step_frees_is_kept_for_the_next_and_the_peak_is_that_of_the_process() -> None:
    """In a process of its own: where memory was once refused, glibc serves a thread otherwise."""
    large = b"x" * (1 << 30)
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, cwd=ROOT)
    faults, peak = done.stdout.split()
    assert int(faults) < 100
    assert 50 < float(peak) < len(large) / 1e6, "not the peak of the parent"


def test_precision_is_part_of_what_a_run_is() -> None:
    words = ["study=imagenet", "+step=gelu"]
    usual, half = compose(words), compose([*words, "recipe.precision=bfloat16"])
    assert digest(to_dict(usual)) != digest(to_dict(half))
    assert half.study.name == "imagenet,recipe.precision=bfloat16"
    assert deviations(half)["recipe.precision"] == ("bfloat16", "float32")
    before = to_dict(usual)
    del before["recipe"]["precision"]  # as configurations were written before there was a choice
    assert digest(before) == digest(to_dict(usual))
    assert not difference(before, to_dict(usual)) and difference(before, to_dict(half))


def test_bfloat16_computes_in_it_and_keeps_weights_and_norms_in_float32(tmp_path: Path, data_root: Path) -> None:
    small = ("+step=layer_norm", "data.max_train=64", "data.max_test=10", "budget.epochs=1")
    config = tiny(tmp_path, data_root, *small, "recipe.precision=bfloat16")
    network = build(config.model, num_classes=10, in_chans=1)
    seen: dict[type, set[torch.dtype]] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, _, y: seen.setdefault(type(m), set()).add(y.dtype))
    with arithmetic(Precision.bfloat16, CPU):
        loss = network(torch.randn(4, 1, 32, 32)).float().square().mean()
    loss.backward()
    assert len(seen) >= 3 and all(dtypes == {torch.bfloat16} for dtypes in seen.values())
    assert all(p.dtype is p.grad.dtype is torch.float32 for p in network.parameters())  # type: ignore[union-attr]
    first, again = (runs.prepare(replace(config, runs_dir=str(tmp_path / name))) for name in ("a", "b"))
    losses = [execute(directory)["metrics"]["train_loss"] for directory in (first, again)]
    assert losses[0] == losses[1] < 2.6
    usual = execute(runs.prepare(tiny(tmp_path / "float32", data_root, *small)))["metrics"]["train_loss"]
    assert losses[0] != usual and losses[0] == pytest.approx(usual, rel=0.02)


def test_compiling_leaves_the_draws_alone() -> None:
    compiled(torch.nn.Identity())
    assert torch._inductor.config.fallback_random


def test_long_runs_on_a_gpu_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadmap.networks.device.find_spec", lambda _name: True)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("torch._dynamo.config.suppress_errors", False)
    gpu, half = torch.device("cuda"), "recipe.precision=bfloat16"
    photos = compose(["study=imagenet", "+step=gelu", half])
    assert compiles(photos, 1_281_167, gpu)
    assert not compiles(compose(["study=imagenet", "+step=gelu"]), 1_281_167, gpu)
    assert not compiles(photos, 1_281_167, CPU) and not compiles(photos, 1000, gpu)
    assert not compiles(compose(["+step=gelu", half]), 60_000, gpu)
    asked, refused = (compose([f"training.compile={word}"]) for word in ("true", "false"))
    assert compiles(asked, 64, CPU) and not compiles(refused, 10**9, gpu)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert not compiles(photos, 1_281_167, gpu)


@pytest.mark.slow
def test_a_compiled_run_computes_the_same(tmp_path: Path, data_root: Path) -> None:
    usual, compiled = (
        execute(runs.prepare(tiny(tmp_path / name, data_root, "+step=layer_norm", "data.max_train=64", *more)))
        for name, more in (("usual", []), ("compiled", ["training.compile=true"]))
    )
    assert compiled["metrics"]["train_loss"] == pytest.approx(usual["metrics"]["train_loss"], rel=1e-4)

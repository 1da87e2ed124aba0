"""Measuring training steps, and the options that make them fast: precision, compiling."""

import csv
import platform
import re
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from helpers.smoke import ROOT, inside, tiny
from torch import nn

from benchmarks import measure as bench
from benchmarks import speed
from benchmarks.plain import plain
from benchmarks.speed import Measured, Setting
from roadmap import runs
from roadmap.config.compose import compose, to_dict
from roadmap.config.deviations import deviations
from roadmap.config.identity import difference, digest
from roadmap.config.schema import Precision
from roadmap.data.loader import load, micro_batches
from roadmap.networks.create import build
from roadmap.training.compiling import compiled_as_eager, compiles
from roadmap.training.device import arithmetic
from roadmap.training.recipe import loss_function, make_optimizer
from roadmap.training.run import execute

CPU = torch.device("cpu")
SETTING = Setting("nano", 32, 8, 1, "cpu")
ROW = Measured(SETTING, "gelu", "micro", "float32", 10**6, 123.4, 2.5, 2.0, 3.0, 0.25, 0.125, 5, "2.9", "abc")

FAULTS = """
import resource, torch
from roadmap.training.device import keep_freed_memory

keep_freed_memory()
pages = []
for _ in range(4):
    torch.ones(16 << 20)  # 64 MB, 16,384 pages of 4 kB
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(pages[-1] - pages[0])
"""


def test_the_benchmark_measures_writes_and_draws(tmp_path: Path) -> None:
    words = ["--regime", "nano", "--batch", "8", "--rounds", "1", "--precision", "float32,bfloat16", "--amp"]
    code, said = inside("benchmarks/steps.py", *words, "--steps", "large_kernel", "--results-dir", str(tmp_path))
    assert code == 0, said
    arms = ("float32", "bfloat16", speed.AUTOCAST)
    assert all(re.search(rf"batch 8, {arm}: \d\.\d\d times \(geometric mean of 1 rungs", said) for arm in arms)
    (table,) = (tmp_path / "bench").glob("*.csv")
    with table.open() as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {*arms, "plain"}
    assert float(rows["plain"]["ratio"]) == 1 and float(rows["float32"]["images_per_second"]) > 0
    assert all(0 < float(row[key]) < 1 for row in rows.values() for key in ("flop_share", "memory_share"))
    assert all(table.with_suffix(kind).stat().st_size > 10_000 for kind in (".png", ".svg"))
    code, said = inside("benchmarks/steps.py", "--precision", "float16")
    assert code == 2 and "--precision=float16: allowed is float32 or bfloat16" in said


def test_a_table_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "machine.csv"
    other = ROW._replace(arm="plain", ratio=1.0)
    assert speed.record(path, [ROW, other]) == [ROW, other] == speed.read(path)
    faster = ROW._replace(ratio=3.5)
    elsewhere = ROW._replace(setting=SETTING._replace(batch=16))
    assert speed.record(path, [faster, elsewhere]) == [faster, other, elsewhere] == speed.read(path)
    assert speed.file_name("AMD EPYC 9R14", 2, None) == "amd-epyc-9r14-2-cores"
    assert speed.geometric_mean([1.0, 4.0]) == pytest.approx(2)


def test_only_the_steps_of_the_path_are_in_the_mean() -> None:
    rows = [ROW._replace(step=step, ratio=ratio) for step, ratio in (("gelu", 4.0), ("large_kernel", 1.0))]
    rows += [ROW._replace(step="layer_scale", group="convnext", ratio=9.0), ROW._replace(arm="plain", ratio=1.0)]
    rows += [ROW._replace(step="kernel_9", ratio=0.1)]
    said = "nano regime at 32 pixels, batch 8, CPU time, float32:"
    assert speed.conclusions(rows) == [f"{said} 2.00 times (geometric mean of 2 rungs; least 1.00, `large_kernel`)"]
    assert speed.conclusions(rows[-1:]) == [f"{said} 0.10 times (geometric mean of 1 rungs; least 0.10, `kernel_9`)"]


def test_the_documents_say_what_was_measured() -> None:
    tables = list((ROOT / "results/bench").glob("*.csv"))
    assert tables
    for line in (line for path in tables for line in speed.conclusions(speed.read(path))):
        assert f"\n- {line}\n" in (ROOT / "docs/performance.md").read_text(), line


@pytest.fixture
def watched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profiler takes its time to say what it saw."""
    monkeypatch.setattr(bench, "WATCHED", 1)


@pytest.mark.usefixtures("watched_once")
def test_both_steps_of_the_benchmark_train_the_same_network(data_root: Path) -> None:
    config = compose(["+step=large_kernel", "budget.batch_size=16", "budget.bn_batch_size=16"])
    images, targets = bench.batch(config, CPU, torch.channels_last)
    nchw, same = bench.batch(config, CPU, torch.contiguous_format)
    assert torch.equal(images, nchw) and torch.equal(targets, same)
    assert images.stride()[1] == 1 and nchw.stride()[1] == 32 * 32
    assert bench.traffic(config) > 5 * 32 * 32
    found, total = bench.profiled(bench.plain_step(config, CPU))
    assert sum("convolution" in operator.name for operator in found) and 0 < found[0].ms <= total


@pytest.mark.usefixtures("watched_once")
def test_the_profile_names_operators() -> None:
    code, said = inside("benchmarks/profile_step.py", "gelu", "--regime", "nano", "--batch", "8")
    assert code == 0 and "aten::gelu" in said, said


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's")
def test_what_a_step_frees_is_kept_for_the_next() -> None:
    """In a process of its own: where memory was once refused, glibc serves a thread otherwise."""
    faults = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(faults.stdout) < 100


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
    config = tiny(tmp_path, data_root, "+step=layer_norm", "recipe.precision=bfloat16")
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
    usual = execute(runs.prepare(tiny(tmp_path / "float32", data_root, "+step=layer_norm")))["metrics"]["train_loss"]
    assert losses[0] != usual and losses[0] == pytest.approx(usual, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "bound"), [("large_kernel", None), ("fewer_norms", 1e-4), ("layer_scale", 1e-4)])
def test_plain_and_fast_steps_give_one_loss_curve(step: str, bound: float | None, data_root: Path) -> None:
    """200 steps; where ReLU and batch norm amplify rounding, ours may stray from float64 as the plain step does."""
    words = ["budget.batch_size=32", "budget.bn_batch_size=32", "data.max_train=6400", f"data.root={data_root}"]
    config = compose([f"+step={step}", *words])
    passes = list(islice(micro_batches(load(config, train=True), config.recipe, config.data, seed=0, epoch=0), 200))
    torch.manual_seed(0)
    network = build(config.model, num_classes=10, in_chans=1, init=config.recipe.init)
    curves = {}
    for name, net in (("fast", network), ("plain", plain(network)), ("exact", plain(network).double())):
        optimizer, losses = make_optimizer(net.train(), config.recipe), []
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        for images, targets in passes:
            x = images if name == "fast" else images.reshape(-1, 1, 32, 32).clone()
            loss = loss_function(net(x.double() if name == "exact" else x), targets, config.recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves[name] = torch.tensor(losses, dtype=torch.float64)
    assert len(losses) == 200 and losses[-1] < 0.6 * losses[0]
    off = {name: float((curves[name] / curves["exact"] - 1).abs().max()) for name in ("fast", "plain")}
    apart = float((curves["fast"] / curves["plain"] - 1).abs().max())
    print(f"{step}: off float64 {off}, from each other {apart:.1e}")
    assert off["fast"] < max(3 * off["plain"], 1e-6)
    assert bound is None or apart < bound


def test_compiling_leaves_the_draws_alone() -> None:
    compiled_as_eager(torch.nn.Identity())
    assert torch._inductor.config.fallback_random


def test_long_runs_on_a_gpu_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadmap.training.compiling.find_spec", lambda _name: True)
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

"""Benchmarks measure, keep their tables, and the documents state their figures."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.smoke import ROOT, inside

from benchmarks import measure, profile_step, speed
from roadmap.config.compose import compose

CPU = torch.device("cpu")
ROW = {
    "regime": "nano", "img_size": 32, "batch": 8, "threads": 1, "clock": "cpu", "step": "gelu", "group": "micro",
    "method": "float32", "macs": 10**6, "images_per_second": 123.4, "ratio": 2.5, "low": 2.0, "high": 3.0,
    "flop_share": 0.25, "memory_share": 0.125, "rounds": 5, "torch": "2.9", "commit": "1234567",
}  # fmt: skip


@pytest.mark.slow
def test_steps_are_measured_written_and_drawn(tmp_path: Path) -> None:
    words = ["regime=nano", "batch=8", "rounds=1", "precision=float32,bfloat16", "amp=true", "steps=large_kernel"]
    code, said = inside("benchmarks/steps.py", *words, f"results_dir={tmp_path}")
    assert code == 0, said
    methods = ("float32", "bfloat16", speed.AUTOCAST)
    assert all(re.search(rf"batch 8, {name}: \d\.\d\d times \(geometric mean of 1 steps", said) for name in methods)
    (path,) = (tmp_path / "bench").glob("*.csv")
    rows = speed.read(path).set_index("method")
    assert set(rows.index) == {*methods, "baseline"}
    assert rows.ratio["baseline"] == 1 and rows.images_per_second["float32"] > 0
    assert rows[["flop_share", "memory_share"]].gt(0).all(axis=None) and rows.flop_share.lt(1).all()
    assert all(path.with_suffix(kind).stat().st_size > 10_000 for kind in (".png", ".svg"))
    code, said = inside("benchmarks/steps.py", "show=true", f"results_dir={tmp_path}")
    assert code == 0 and said.splitlines() == [str(path.with_suffix(kind)) for kind in (".md", ".png", ".svg")]


def test_wrong_options_are_refused() -> None:
    for word, message in (
        ("precision=float16", "precision=float16: allowed is float32 or bfloat16"),
        ("regime=mikro", "regime=mikro: allowed is one of micro nano resnet200 resnet50 (did you mean micro?)"),
        ("batch=0", "batch=0: allowed is 1 to 1000000"),
        ("--show", "--show: allowed is regime=... steps=..."),
        ("precison=float32", "(did you mean precision?)"),
    ):
        code, said = inside("benchmarks/steps.py", word)
        assert code == 2 and message in said and len(said.splitlines()) == 1


def test_a_table_keeps_rows_that_are_not_measured_again_and_old_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "machine.csv"

    def record(*changes: dict[str, Any]) -> list[dict[str, Any]]:
        table = speed.record(path, [ROW | change for change in changes])
        pd.testing.assert_frame_equal(table, speed.read(path), check_dtype=False)
        return table.to_dict("records")

    other = {"method": "baseline", "ratio": 1.0}
    assert record({}, other) == [ROW, ROW | other]
    faster, elsewhere = {"ratio": 3.5}, {"batch": 16}
    assert record(faster, elsewhere) == [ROW | faster, ROW | other, ROW | elsewhere]
    assert speed.file_name("AMD EPYC 9R14", 2, None) == "amd-epyc-9r14-2-cores"
    new = speed.read(path)  # and again in the old names
    path.write_text(path.read_text().replace("method", "arm").replace("baseline", "plain"))
    pd.testing.assert_frame_equal(speed.read(path), new)


def test_only_steps_of_the_main_sequence_are_in_the_mean() -> None:
    ratios = {"gelu": 4.0, "large_kernel": 1.0, "kernel_9": 0.1}
    rows = [ROW | {"step": "layer_scale", "group": "convnext", "ratio": 9.0}, ROW | {"method": "baseline"}]
    rows += [ROW | {"step": step, "ratio": ratio} for step, ratio in ratios.items()]
    setting = "nano regime at 32 pixels, batch 8, CPU time, float32:"
    mean = f"{setting} 2.00 times (geometric mean of 2 steps; lowest 1.00, `large_kernel`)"
    assert speed.notes(pd.DataFrame(rows)) == [mean]
    alone = f"{setting} 0.10 times (geometric mean of 1 steps; lowest 0.10, `kernel_9`)"
    assert speed.notes(pd.DataFrame(rows[-1:])) == [alone]


def test_the_documents_state_the_measured_figures() -> None:
    tables = [speed.read(path) for path in (ROOT / "results/published/bench").glob("*.csv")]
    assert tables
    for line in (line for table in tables for line in speed.notes(table)):
        assert f"\n- {line}\n" in (ROOT / "docs/performance.md").read_text(), line
    (stated,) = re.findall(r"\((\d\.\d) times a plain PyTorch step on a CPU\)", (ROOT / "README.md").read_text())
    lines = [line for table in tables for line in speed.notes(table) if "micro regime" in line and "float32" in line]
    assert [f"{float(re.findall(r': ([0-9.]+) times', line)[0]):.1f}" for line in lines] == [stated]


def test_both_methods_train_the_same_network(data_root: Path) -> None:
    config = compose(["+step=large_kernel", "budget.batch_size=16", "budget.bn_batch_size=16"])
    images, targets = measure.random_batch(config, CPU, torch.channels_last)
    nchw, same = measure.random_batch(config, CPU, torch.contiguous_format)
    assert torch.equal(images, nchw) and torch.equal(targets, same)
    assert images.stride()[1] == 1 and nchw.stride()[1] == 32 * 32
    assert measure.traffic(config) > 5 * 32 * 32
    found, total = profile_step.profiled(measure.baseline_step(config, CPU), repeats=1)
    assert any("convolution" in operator.name for operator in found) and 0 < found[0].ms <= total


def test_the_profile_names_operators(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(profile_step, "profiled", partial(profile_step.profiled, repeats=1))
    assert profile_step.main(["step=gelu", "regime=nano", "batch=8"]) == 0
    said = capsys.readouterr().out
    assert "gelu, nano regime, batch 8, float32: " in said and said.count("%") == 10 and "aten::" in said, said

"""The device of a run."""

from pathlib import Path

import pytest
import torch
from helpers.smoke import prepared, tiny

from roadmap.networks import device
from roadmap.networks.device import processor_flags, slow_precision
from roadmap.training.run import execute

CPU, HALF = torch.device("cpu"), "recipe.precision=bfloat16"
SAID = "recipe.precision=bfloat16, which this processor has no instructions for: slower than float32 here"


@pytest.mark.parametrize(
    ("flags", "slow"),
    [({"avx2", "avx512f"}, True), ({"avx512f", "avx512_bf16"}, False), ({"amx_bf16"}, False), (set(), False)],
)
def test_bfloat16_on_a_processor_without_its_instructions_is_said(
    flags: set[str], slow: bool, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "processor_flags", lambda: flags)
    half, plain = tiny(tmp_path, data_root, HALF), tiny(tmp_path, data_root)
    assert slow_precision(half, CPU).startswith(SAID) == slow
    assert slow_precision(plain, CPU) == slow_precision(half, torch.device("cuda")) == ""


def test_the_line_stands_where_a_run_begins(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "processor_flags", lambda: {"avx2"})
    execute(prepared(tmp_path, data_root, HALF))
    assert capsys.readouterr().out.splitlines()[0].startswith(f"gelu seed 0: {SAID}")


def test_the_flags_are_those_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, flags in (
        ("flags\t\t: fpu avx2\nbugs : x\n", {"fpu", "avx2"}),
        ("Features\t: fp bf16\n", {"fp", "bf16"}),
    ):
        processor_flags.cache_clear()
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        assert processor_flags() == flags
    processor_flags.cache_clear()

"""Faults that no module owns, and the list in docs/faults.md."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.smoke import ROOT, computed, finished, words, working_on

from roadmap import runs
from roadmap.cli import run
from roadmap.config.checks import check
from roadmap.config.compose import compose, load
from roadmap.errors import ConfigError

SHORTAGE = """
import sys
if any("gelu" in word for word in sys.orig_argv):
    import torch
    def backward(loss):
        return torch.empty(2**50)
    torch.Tensor.backward = backward
"""
"""Imported by Python at its start: the backward passes of gelu ask for a petabyte."""


def test_a_configuration_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / runs.CONFIG
    path.write_text(f"study: !!python/object/apply:os.system ['touch {tmp_path / 'harm'}']\n")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        load(path)
    assert not (tmp_path / "harm").exists()


def test_files_are_read_by_safe_readers_only() -> None:
    unsafe = re.compile(
        r"weights_only=False|yaml\.(load|unsafe_load|full_load)\(|pickle\.loads?\(|(?<![.\w])(eval|exec)\("
    )
    for path in [ROOT / "train.py", *(ROOT / "roadmap").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        text = path.read_text()
        assert not unsafe.search(text), path
        assert text.count("torch.load(") == text.count("weights_only=True"), path


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", "..", ".", "", "a\nb", "~root"])
def test_a_name_that_would_leave_its_directory_is_refused(name: str) -> None:
    config = compose(["study=smoke"])
    for part, key in ((config.study, "study.name"), (config.step, "step.name")):
        kept, part.name = part.name, name
        with pytest.raises(ConfigError, match=re.escape(key)):
            check(config)
        part.name = kept


@pytest.mark.slow
def test_a_config_edited_during_a_sweep_is_ignored(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("roadmap", "conf", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    arguments = words(tmp_path, data_root, "steps=[resnet,gelu]", "jobs=1")
    process = subprocess.Popen(
        [sys.executable, str(copy / "scripts" / "sweep.py"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
    )
    while process.poll() is None and not working_on(tmp_path):
        time.sleep(0.02)
    assert not (tmp_path / "tiny/gelu/seed-0" / runs.CHECKPOINT).exists(), "gelu has not begun"
    edits = (("study/smoke", "epochs: 2", "epochs: 3"), ("ladder/network/gelu", "act: gelu", "act: relu"))
    for name, old, new in edits:
        path = copy / "conf" / f"{name}.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert computed(tmp_path / "tiny/gelu/seed-0") == computed(undisturbed)


def test_ctrl_c_while_a_configuration_is_composed_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:  # as OmegaConf does, which then dies of what it has not made yet
            None._invalidate_flags_cache()  # type: ignore[attr-defined]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing is composed yet
    monkeypatch.setattr("omegaconf.OmegaConf.merge", interrupted)

    def main(_: list[str]) -> int:
        try:
            compose(["study=smoke"])
        except AttributeError as error:
            raise ConfigError(str(error)) from error
        return 0

    assert run("train", main, []) == 130
    assert capsys.readouterr().err == "train: interrupted\n"


@pytest.mark.slow
def test_out_of_memory_in_one_run_is_recorded_and_the_sweep_goes_on(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHORTAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, said = finished("scripts/sweep.py", *words(tmp_path, data_root, "steps=[gelu,resnet]", "jobs=1"))
    assert code == 1 and "gelu seed 0 FAILED: out of memory: " in said, said
    failure = runs.read_json(tmp_path / "tiny/gelu/seed-0" / runs.FAILURE)
    assert failure is not None and failure["error"].startswith("out of memory: ")
    assert runs.finished(tmp_path / "tiny/resnet/seed-0")
    assert working_on(tmp_path) == []


def test_every_fault_of_the_list_has_its_test() -> None:
    listed = re.findall(r"`(test_\w+)\.(test_\w+)`", (ROOT / "docs" / "faults.md").read_text())
    assert len(listed) > 20
    for file, name in listed:
        assert f"def {name}(" in (ROOT / "tests" / f"{file}.py").read_text(), name

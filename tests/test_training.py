"""One run: the files it writes, and resuming to the same bits."""

import json
import signal
import subprocess
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from helpers.processes import train
from helpers.smoke import computed, inside, interrupt, prepared

from roadmap import runs
from roadmap.errors import ConfigError, Locked
from roadmap.files import lock
from roadmap.training import provenance
from roadmap.training.diagnosis import first_nonfinite
from roadmap.training.run import execute
from roadmap.training.state import Average

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]


def same(a: Path, b: Path) -> bool:
    """Whether two finished runs computed the same numbers and the same bits of every weight."""
    saved = [torch.load(directory / runs.CHECKPOINT, weights_only=True) for directory in (a, b)]
    weights = [each["model"] | {f"ema.{k}": v for k, v in each["ema"].items()} for each in saved]
    assert weights[0].keys() == weights[1].keys()
    return computed(a) == computed(b) and all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_run_writes_result_and_metrics_and_is_not_repeated(undisturbed: Path) -> None:
    result = runs.read_result(undisturbed / runs.RESULT)
    assert result["test_images"] == 70
    assert result["metrics"]["top1"] == 100 * result["counts"]["top1"] / 70
    assert 0 <= result["counts"]["top1"] <= result["counts"]["top5"] <= 70
    assert [result[key] for key in ("step", "parent", "seed", "epochs")] == ["gelu", "large_kernel", 0, 2]
    assert 0 <= result["overhead_share"] < 1
    lines = [json.loads(line) for line in (undisturbed / runs.METRICS).read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 4), (2, 8)]
    wanted = "loss top1 top5 ema_top1 ema_top5 lr images_per_second data_share peak_memory_mb"
    assert set(wanted.split()) <= lines[0].keys()
    assert runs.finished(undisturbed)
    before = (undisturbed / runs.RESULT).stat().st_mtime_ns
    assert execute(undisturbed) == result and (undisturbed / runs.RESULT).stat().st_mtime_ns == before


def test_another_seed_gives_other_bits(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    other = prepared(tmp_path, data_root, "seed=1")
    execute(other)
    assert not same(other, undisturbed)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_run_stopped_anywhere_resumes_to_the_same_bits(
    undisturbed: Path, tmp_path: Path, data_root: Path, step: int
) -> None:
    directory = prepared(tmp_path, data_root)
    interrupt(directory, step)
    execute(directory)
    assert same(directory, undisturbed)


def test_a_killed_run_resumes_to_the_same_bits(
    undisturbed: Path, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = prepared(tmp_path, data_root, "training.checkpoint_minutes=0.0001")
    process = get_context("fork").Process(target=train, args=[directory])
    process.start()
    while not (directory / runs.CHECKPOINT).exists() and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (directory / runs.RESULT).exists()
    execute(directory)
    assert "resumed at step" in capsys.readouterr().out
    assert same(directory, undisturbed)


def test_the_first_module_that_is_not_finite_is_found() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    x = torch.ones(1, 2)
    assert first_nonfinite(model, x) == "the loss itself"
    torch.nn.init.constant_(model[2].weight, float("nan"))
    assert first_nonfinite(model, x) == "2"
    assert first_nonfinite(model, x / 0) == "the input"


def test_a_directory_holds_one_run_and_one_process(tmp_path: Path, data_root: Path) -> None:
    directory = prepared(tmp_path, data_root)
    prepared(tmp_path, data_root, "training.threads=2")
    (directory / runs.METRICS).touch()
    with pytest.raises(ConfigError, match=r"holds another run: recipe\.lr \(.* there, now 0\.5\)"):
        prepared(tmp_path, data_root, "recipe.lr=0.5")
    with lock(directory):
        code, output = inside("train.py", f"run={directory}")
        assert (code, "in use by process" in output) == (2, True)
        with pytest.raises(Locked), lock(directory):
            pass


def test_imagenet_without_files_says_what_to_do(tmp_path: Path) -> None:
    asked = ("study=imagenet", f"runs_dir={tmp_path / 'runs'}", f"data.root={tmp_path / 'data'}")
    code, output = inside("train.py", *asked)
    assert code == 2
    assert f"{tmp_path / 'data' / 'train'} and {tmp_path / 'data' / 'val'} must hold a folder" in output
    assert not (tmp_path / "runs").exists()


def test_the_average_follows_its_formula() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = Average(model, decay=0.9)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        for value in model.state_dict().values():
            value.add_(1)
        average.update()
        for name, value in model.state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * value
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])


def test_changed_results_do_not_make_the_code_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, table = tmp_path / "roadmap/code.py", tmp_path / "results/ladder.csv"
    for file in (code, table):
        file.parent.mkdir()
        file.write_text("before")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(code))
    first = provenance.commit()
    table.write_text("after")
    assert len(first[0] or "") == 40 and first[1] is False and provenance.commit() == first
    code.write_text("after")
    assert provenance.commit() == (first[0], True)

"""One run: the files it writes, and resuming to the same bits."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import torch
from helpers.smoke import computed, interrupt, script, tiny, words

from roadmap import runs
from roadmap.errors import ConfigError, Locked, NonFiniteLoss
from roadmap.evals.accuracy import evaluate
from roadmap.files import lock
from roadmap.training import provenance
from roadmap.training.diagnosis import first_nonfinite
from roadmap.training.run import execute
from roadmap.training.state import Average

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]
RUNG = "+step=separate_downsampling"


def weights(directory: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(directory / runs.CHECKPOINT, weights_only=True)
    return saved["model"] | {f"ema.{k}": v for k, v in saved["ema"].items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    directory = runs.prepare(tiny(tmp_path_factory.mktemp("undisturbed"), data_root, RUNG))
    execute(directory)
    return directory


def test_a_run_writes_result_and_metrics(undisturbed: Path) -> None:
    result = runs.read_result(undisturbed / runs.RESULT)
    assert result["test_images"] == 70
    assert result["metrics"]["top1"] == 100 * result["counts"]["top1"] / 70
    assert 0 <= result["counts"]["top1"] <= result["counts"]["top5"] <= 70
    assert (result["step"], result["parent"], result["seed"], result["epochs"]) == (
        "separate_downsampling", "layer_norm", 0, 2,
    )  # fmt: skip
    assert 0 <= result["overhead_share"] < 1
    lines = [json.loads(line) for line in (undisturbed / runs.METRICS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["step"] for line in lines] == [4, 8]
    wanted = {
        "loss",
        "top1",
        "top5",
        "ema_top1",
        "ema_top5",
        "lr",
        "images_per_second",
        "data_share",
        "peak_memory_mb",
    }
    assert wanted <= lines[0].keys()
    assert runs.finished(undisturbed)


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(
    undisturbed: Path, tmp_path: Path, data_root: Path
) -> None:
    again, other = (runs.prepare(tiny(tmp_path, data_root, RUNG, *more)) for more in ([], ["seed=1"]))
    execute(again)
    execute(other)
    assert same(weights(again), weights(undisturbed))
    assert computed(again) == computed(undisturbed)
    assert not same(weights(other), weights(undisturbed))


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_run_stopped_anywhere_resumes_to_the_same_bits(
    undisturbed: Path, tmp_path: Path, data_root: Path, step: int
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    interrupt(directory, step)
    execute(directory)
    assert same(weights(directory), weights(undisturbed))
    assert computed(directory) == computed(undisturbed)


def test_a_killed_run_resumes_to_the_same_bits(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    arguments = words(tmp_path, data_root, RUNG, "training.checkpoint_minutes=0.0001")
    directory = runs.run_directory(tiny(tmp_path, data_root, RUNG))
    process = script("train.py", *arguments)
    while not (directory / runs.CHECKPOINT).exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not (directory / runs.RESULT).exists()
    again = script("train.py", *arguments)
    output, _ = again.communicate()
    assert again.returncode == 0, output
    assert "resumed at step" in output
    assert same(weights(directory), weights(undisturbed))
    assert computed(directory) == computed(undisturbed)


def test_a_finished_run_is_not_repeated(undisturbed: Path) -> None:
    before = (undisturbed / runs.RESULT).stat().st_mtime_ns
    result = execute(undisturbed)
    assert (undisturbed / runs.RESULT).stat().st_mtime_ns == before
    assert result == runs.read_result(undisturbed / runs.RESULT)


def test_an_incomplete_result_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    whole = (undisturbed / runs.RESULT).read_text()
    path = tmp_path / runs.RESULT
    for text, complaint in (
        (whole[:-20], "no whole JSON object"),
        ("", "no whole JSON object"),
        ("{}", "missing"),
        (whole.replace('"kernel_size": 7', '"kernel_size": 9'), "config_hash"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            runs.read_result(path)


def test_a_nonfinite_loss_fails_the_run_and_names_the_module(tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "recipe.lr=1e38", "recipe.warmup_epochs=0"))
    with pytest.raises(NonFiniteLoss, match=r"at step [1-8] of separate_downsampling: first not finite: stem\."):
        execute(directory)
    assert not (directory / runs.RESULT).exists()
    failure = runs.read_json(directory / runs.FAILURE)
    assert failure is not None
    assert failure["error"].startswith("NonFiniteLoss: loss is")
    assert "Traceback" in failure["traceback"]


def test_the_first_module_that_is_not_finite_is_found() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    x = torch.ones(1, 2)
    assert first_nonfinite(model, x) == "the loss itself"
    with torch.no_grad():
        model[2].weight.fill_(float("nan"))
    assert first_nonfinite(model, x) == "2"
    assert first_nonfinite(model, x / 0) == "the input"


def test_evaluation_counts_every_image_once() -> None:
    classes = torch.arange(7)
    logits = torch.eye(7)
    logits[3] = torch.tensor([9, 8, 7, 5, 6, 0, 0.0])  # right at the fifth guess
    logits[4] = torch.tensor([9, 8, 7, 6, 0, 5, 1.0])  # not within five
    models = [torch.nn.Identity(), torch.nn.Threshold(100, 0)]  # the second finds all classes alike, so guesses 0 first
    counts, alike = evaluate(models, zip(logits.split(3), classes.split(3), strict=True), num_classes=7)
    assert counts.tolist() == [[1, 1, 1]] * 3 + [[1, 0, 1], [1, 0, 0]] + [[1, 1, 1]] * 2
    assert alike.sum(0).tolist() == [7, 1, 5]


def test_a_directory_holds_one_run_and_one_process(tmp_path: Path, data_root: Path) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    runs.prepare(tiny(tmp_path, data_root, RUNG, "training.threads=2"))
    (directory / runs.METRICS).touch()
    with pytest.raises(ConfigError, match=r"holds another run: recipe\.lr \(.* there, now 0\.5\)"):
        runs.prepare(tiny(tmp_path, data_root, RUNG, "recipe.lr=0.5"))
    with lock(directory):
        process = script("train.py", f"run={directory}")
        output, _ = process.communicate()
        assert (process.returncode, "in use by process" in output) == (2, True)
    with lock(directory), pytest.raises(Locked), lock(directory):
        pass


def test_imagenet_without_files_says_what_to_do(tmp_path: Path) -> None:
    process = script("train.py", "study=imagenet", f"runs_dir={tmp_path / 'runs'}", f"data.root={tmp_path / 'data'}")
    output, _ = process.communicate()
    assert process.returncode == 2
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

"""Files of runs that are well-formed but wrong: refused with file and key, and left out where they are one of many."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.smoke import inside, prepared
from helpers.synthetic import result, write

from roadmap import runs
from roadmap.config.compose import load
from roadmap.config.conf import to_dict
from roadmap.errors import ConfigError
from roadmap.run_files import JobFile
from roadmap.training import checkpoint

WRONG: dict[str, tuple[str, Any]] = {  # part of the refusal: dotted key and value
    "metrics.top1=nan: allowed is a number": ("metrics.top1", math.nan),
    "metrics.top1=-inf: allowed is a number": ("metrics.top1", -math.inf),
    "metrics.top1=eighty: allowed is a number": ("metrics.top1", "eighty"),
    "metrics=null: allowed is named values": ("metrics", None),
    "metrics.top1=81.0: allowed is 80, by counts and test_images": ("metrics.top1", 81.0),
    "metrics: a key=a|b: allowed is letters": ("metrics.a|b", 1.0),
    "counts.top1=-1: allowed is 0 to 1e+18": ("counts.top1", -1),
    "counts.top1=10001: allowed is up to test_images=10000": ("counts.top1", 10001),
    f"seed=1{'0' * 56}...: allowed is a whole number": ("seed", 10**400),
    "seed=1: allowed is 0, as in its config": ("seed", 1),
    "test_images=0: allowed is 1 to 1000000000": ("test_images", 0),
    "wall_seconds=inf: allowed is a number": ("wall_seconds", math.inf),
    r"step=x\ny: allowed is letters": ("step", "x\ny"),
    "step=a|b: allowed is letters": ("step", "a|b"),
    "parent=<b>: allowed is letters": ("parent", "<b>"),
    r"title=\x1b[2J: allowed is one line": ("title", "\x1b[2J"),
    "config=[]: allowed is named values": ("config", []),
    "config.model=5: allowed is named values": ("config.model", 5),
    "config.recipe.lr=null: allowed is a number": ("config.recipe.lr", None),
    "config.study.name=../up: allowed is letters": ("config.study.name", "../up"),
    "stages=[1]: allowed is a list": ("stages", "[1]"),
    "hardware.cores=two: allowed is a whole number": ("hardware.cores", "two"),
    "versions.torch=2: allowed is text": ("versions", {"torch": 2}),
    "deviations.seed=5: allowed is a list": ("deviations", {"seed": 5}),
    "finished_at is missing": ("finished_at", ...),
}


def changed(content: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy with another value, or without the key."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    *path, key = dotted.split(".")
    part = copy
    for name in path:
        part = part[name]
    part[key] = value
    if value is ...:
        del part[key]
    return copy


@pytest.mark.parametrize("said", WRONG, ids=lambda said: said.partition(":")[0][:30])
def test_a_result_with_a_checksum_that_fits_and_a_wrong_value_is_refused(said: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    runs.write_result(path, result("gelu"))
    runs.read_result(path)
    runs.write_result(path, changed(result("gelu"), *WRONG[said]))
    with pytest.raises(ConfigError) as refusal:
        runs.read_result(path)
    assert str(refusal.value).startswith(f"{path}: ") and said in str(refusal.value)


UNREADABLE = ["[" * 100_000, '{"config": ' * 900 + "1" + "}" * 900, f'{{"seed": {"9" * 5000}}}', "\xff"]


@pytest.mark.parametrize("text", UNREADABLE, ids=["brackets", "nested", "digits", "bytes"])
def test_a_result_that_python_cannot_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"result\.json: not a result: "):
        runs.read_result(tmp_path / "result.json")


METRICS = {
    b'{"epoch": 1, "loss": NaN, "top1": 1, "ema_top1": 1}': "line 1: loss=nan: allowed is a number",
    b'{"epoch": -1e400, "loss": 1, "top1": 1, "ema_top1": 1}': "line 1: epoch=-inf: allowed is a whole number",
    b'{"epoch": 1, "loss": 1, "top1": 101, "ema_top1": 1}': "line 1: top1=101: allowed is 0 to 100",
    b"\x89PNG\x00\xff": "line 1: not metrics: \ufffdPNG\\x00\ufffd",
    b"[" * 100_000: "line 1: not metrics: [[[[",
}


@pytest.mark.parametrize("content", METRICS, ids=lambda content: str(content[:40]))
def test_wrong_metrics_are_named_and_their_curve_left_out(content: bytes, tmp_path: Path) -> None:
    study = write(tmp_path / "runs", [result("gelu"), result("resnet")])
    (study / "gelu/seed-0/metrics.jsonl").write_bytes(content)
    (study / "resnet/seed-0/metrics.jsonl").write_text('{"epoch": 1, "loss": 1, "top1": 1, "ema_top1": 1}\n')
    where = [f"runs_dir={tmp_path / 'runs'}", f"results_dir={tmp_path / 'results'}"]
    code, said = inside("scripts/collate.py", "study=smoke", *where)
    assert code == 1 and f"left out: {study / 'gelu/seed-0/metrics.jsonl'}: {METRICS[content]}" in said
    written = (tmp_path / "results/smoke/curves.csv").read_text()
    assert "resnet,0,1" in written and "gelu" not in written


def test_one_wrong_result_among_many_is_named_and_the_table_made_of_the_rest(tmp_path: Path) -> None:
    study = write(tmp_path / "runs", [result("gelu"), result("resnet")])
    path = study / "gelu/seed-0/result.json"
    runs.write_result(path, changed(result("gelu"), "counts.top1", 10001))
    where = [f"runs_dir={tmp_path / 'runs'}", f"results_dir={tmp_path / 'results'}"]
    line = f"left out: {path}: counts.top1=10001: allowed is up to test_images=10000\n"
    code, said = inside("scripts/collate.py", "study=smoke", *where)
    assert code == 1 and line in said
    assert "| resnet | 1 | 80.00 |" in (tmp_path / "results/smoke/ladder.md").read_text()
    code, said = inside("scripts/sweep.py", "status", "study=smoke", where[0])
    assert code == 1 and line in said and "resnet" in said
    kept = tmp_path / "results/smoke/runs/gelu/seed-0"
    kept.mkdir(parents=True)
    (kept / "result.json").write_text("{}")
    code, said = inside("scripts/view.py", "study=smoke", where[1])
    assert code == 1 and f"left out: {kept / 'result.json'}: not a result: study is missing\n" in said


PROGRESS = {"step": 1, "steps": 0, "epoch": 1, "epochs": 2, "top1": None}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("job.json", {"job": 5}, "job=5: allowed is text, the number of a SLURM job"),
        ("job.json", {"job": "1; id"}, "job=1; id: allowed is the number of a SLURM job"),
        ("progress.json", PROGRESS, "steps=0: allowed is 1 to 1e+18"),
        ("progress.json", PROGRESS | {"top1": "high", "steps": 2}, "top1=high: allowed is a number, 0 to 100 or null"),
    ],
)
def test_status_names_a_wrong_file(
    name: str, content: Any, said: str, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = prepared(tmp_path, data_root)
    runs.write_json(directory / name, content)
    monkeypatch.setattr("roadmap.sweep.status.in_use", lambda _: True)
    code, output = inside("scripts/sweep.py", "status", "study=smoke", "study.name=tiny", f"runs_dir={tmp_path}")
    assert code == 1 and f"left out: {directory / name}: {said}\n" in output


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("identity", ..., "identity is missing"),
        ("step", ..., "step is missing"),
        ("model", ..., "model is missing"),
        ("config_hash", ..., "config_hash is missing"),
        ("step", 10**18, r"step=1000000000000000000: allowed is a step of epoch 3 of 2, with 4 steps each"),
        ("step", 10**19, r"step=10000000000000000000: allowed is a whole number, 0 to 1e\+18"),
        ("seconds", math.nan, "seconds=nan: allowed is a number"),
        ("history", [{"epoch": 0}], "history.epoch=0: allowed is 1 to 100000"),
        ("model", {}, "not a state of this run: Error.* Missing key"),
        ("optimizer", {"state": 5}, "not a state of this run: "),
    ],
)
def test_a_checkpoint_of_the_right_format_and_hash_with_wrong_content_is_refused(
    key: str, value: Any, said: str, undisturbed: Path, tmp_path: Path, data_root: Path
) -> None:
    directory = prepared(tmp_path, data_root)
    content = torch.load(undisturbed / runs.CHECKPOINT, weights_only=True)
    content[key] = value
    if value is ...:
        del content[key]
    torch.save(content, directory / runs.CHECKPOINT)
    kept = (directory / runs.CHECKPOINT).read_bytes()
    assert content.get("config_hash", "") in ("", checkpoint.digest(to_dict(load(directory / runs.CONFIG))))
    code, output = inside("train.py", f"run={directory}")
    assert code == 2 and output.splitlines()[-1].startswith(f"train: {directory}"), output
    with pytest.raises(ConfigError, match=said):
        raise ConfigError(output.splitlines()[-1])
    assert (directory / runs.CHECKPOINT).read_bytes() == kept


def test_a_job_of_today_is_read(tmp_path: Path) -> None:
    path = tmp_path / runs.JOB
    job = {"job": "17_3", "submitted": time.time(), "found": time.time_ns(), "tries": 0}
    runs.write_json(path, job)
    assert runs.read_json(path, JobFile) == job

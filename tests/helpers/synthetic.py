"""Results that were never measured, made up under real configurations, and the scripts run on them."""

import base64
import copy
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.schema import StepConfig
from roadmap.config.steps import find, model_config, steps
from roadmap.runs import write_result

ROOT = Path(__file__).parents[2]


@cache
def _config(name: str) -> dict[str, Any]:
    """The configuration of a step, without going through Hydra for every one."""
    step = find(name)
    identity = StepConfig(step.name, step.parent, step.section, step.group, step.title)
    recipe = "original" if step.parent is None else "modern"
    base = compose(["study=smoke", f"recipe={recipe}", "study.name=smoke", "study.purpose=comparison"])
    return to_dict(replace(base, step=identity, model=model_config(name, "micro")))


def result(step: str, seed: int = 0, *, correct: int = 8000, like: str | None = None, **changes: Any) -> dict[str, Any]:
    """A result with `correct` of 10,000 images; `changes` are dotted keys of its config, with __ for the dot.

    `like` makes it a step of your own: `step` with the configuration of that step.
    """
    config = copy.deepcopy(_config(like or step))
    config["step"]["name"], config["seed"] = step, seed
    for dotted, value in changes.items():
        *path, key = dotted.split("__")
        part = config
        for name in path:
            part = part[name]
        part[key] = value
    own = config["step"]
    return {
        "study": config["study"]["name"], "regime": config["regime"]["name"], "step": step,
        "parent": own["parent"], "title": own["title"], "group": own["group"], "section": own["section"],
        "seed": seed, "test_images": 10_000,
        "metrics": {f"{weights}top{k}": correct / 100 if k == 1 else 99.0 for weights in ("", "ema_") for k in (1, 5)}
        | {"train_loss": 0.7},
        "counts": {"top1": correct, "top5": 9900, "ema_top1": correct, "ema_top5": 9900},
        "params": 1_640_000, "macs": 12_345_600,
        "epochs": 2, "wall_seconds": 60.0, "images_per_second": 1000.0 + seed, "overhead_share": 0.02,
        "config_hash": digest(config), "config": config, "commit": "0123456789" * 4, "dirty": False,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "hardware": {"cpu": "Testing CPU", "cores": 2, "threads": 1, "gpu": None},
        "finished_at": "2026-11-23T08:00:00+00:00",
    }  # fmt: skip


def stored_answers(made: dict[str, Any], wrong: int = 0) -> dict[str, Any]:
    """Answers to a made-up result, equal in all ten classes; every wrong guess is the class `wrong`, or the one after.

    The first images are the right ones.
    """
    share = made["counts"]["top1"] // 10
    rows = [[0] * 10 for _ in range(10)]
    for true, row in enumerate(rows):
        row[true] = share
        row[wrong if true != wrong else wrong + 1] += 1000 - share
    bits = {name: np.packbits(np.arange(10_000) < made["counts"][name]).tobytes() for name in ("top1", "ema_top1")}
    right = {name: base64.b64encode(each).decode() for name, each in bits.items()}
    return {"right": right, "confusion": [" ".join(map(str, row)) for row in rows]}


def write(runs_dir: Path, results: Iterable[dict[str, Any]]) -> Path:
    """Lay results out as a sweep does; returns the study's directory."""
    for content in results:
        directory = runs_dir / content["study"] / content["step"] / f"seed-{content['seed']}"
        directory.mkdir(parents=True, exist_ok=True)
        write_result(directory / "result.json", content)
    return runs_dir / content["study"]


def ladder(seeds: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """All steps: the i-th has 8000 + 50 i right, each seed ten more."""
    return [
        result(step.name, seed, correct=8000 + 50 * index + 10 * seed, **changes)
        for index, step in enumerate(steps())
        for seed in range(seeds)
    ]


def run(*words: str, cwd: Path, script: str = "collate") -> subprocess.CompletedProcess[str]:
    """A script as from a shell, with a last line on stderr that tells whether torch was imported."""
    code = (
        f"import runpy, sys; sys.argv = ['{script}.py', *{list(words)!r}]\n"
        f"try: runpy.run_path({str(ROOT / 'scripts' / script)!r} + '.py', run_name='__main__')\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)

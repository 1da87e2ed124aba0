"""recipe.init_weights: a run starts from a file, which its identity knows by content."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers.smoke import inside, prepared, tiny, words
from torch import Tensor

from roadmap import runs
from roadmap.config.compose import compose, load
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.errors import ConfigError
from roadmap.training.checkpoint import Checkpointer
from roadmap.training.distributed import World
from roadmap.training.progress import Progress
from roadmap.training.run import execute
from roadmap.training.state import initial_state

CPU = torch.device("cpu")


def begun(directory: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights with which a frozen run begins, and their average."""
    config = load(directory / runs.CONFIG)
    with Progress(config, directory) as progress:
        state = Checkpointer(directory=directory, config=config, world=World(), progress=progress).begin(CPU)
    return state.model.state_dict(), state.ema.module.state_dict()


def test_a_run_starts_from_the_weights_of_a_file_and_with_other_classes_has_a_new_head(
    undisturbed: Path, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = undisturbed / runs.CHECKPOINT
    there = torch.load(saved, weights_only=True)["model"]
    for classes, said in ((10, "with its head"), (12, "a new head: 10 classes there, 12 here")):
        more = (f"recipe.init_weights={saved}", f"data.num_classes={classes}", "seed=3", f"study.name=c{classes}")
        directory = prepared(tmp_path, data_root, *more)
        weights, average = begun(directory)
        assert f"starts from {saved}, weights in model, {said}" in capsys.readouterr().out
        fresh = initial_state(load(directory / runs.CONFIG), CPU, World()).model.state_dict()
        for key, value in weights.items():
            own = classes == 12 and key.startswith("head.linear")
            assert torch.equal(value, fresh[key] if own else there[key]) and torch.equal(value, average[key]), key
    result = execute(directory)
    assert result["deviations"]["recipe.init_sha256"][1] is None and "recipe.init_weights" not in result["deviations"]


def test_the_content_of_the_file_is_part_of_the_identity_and_of_the_studys_name(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("the same (2).pt", b"one"), ("b.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    plain, a, same, b = (
        compose(["study=smoke", *([f"recipe.init_weights={tmp_path / name}"] if name else [])])
        for name in ("", "a.pt", "the same (2).pt", "b.pt")
    )
    assert a.study.name == same.study.name == "smoke,recipe.init_weights=7692c3ad"  # sha256 of "one"
    assert digest(to_dict(a)) == digest(to_dict(same))
    assert len({digest(to_dict(each)) for each in (plain, a, b)}) == 3
    with pytest.raises(ConfigError, match=r"recipe\.init_weights=/none\.pt: allowed is a file of weights"):
        compose(["recipe.init_weights=/none.pt"])
    with pytest.raises(ConfigError, match=r"recipe\.init_sha256=1234: allowed is 7692c3ad"):
        compose([f"recipe.init_weights={tmp_path / 'a.pt'}", "recipe.init_sha256='1234'"])


def test_a_file_of_another_network_or_another_content_is_refused(
    undisturbed: Path, tmp_path: Path, data_root: Path
) -> None:
    copy = Path(shutil.copy(undisturbed / runs.CHECKPOINT, tmp_path))
    asked = words(tmp_path / "runs", data_root, f"recipe.init_weights={copy}")
    for script, more in (("train.py", ["+step=layer_norm"]), ("scripts/sweep.py", ["steps=[layer_norm]"])):
        code, output = inside(script, *asked, *more)
        assert code == 2 and f"{copy}: not the weights of layer_norm: " in output and "Traceback" not in output
        assert not (tmp_path / "runs").exists()
    directory = runs.prepare(tiny(tmp_path / "runs", data_root, "+step=gelu", f"recipe.init_weights={copy}"))
    copy.write_bytes(b"changed")
    with pytest.raises(ConfigError, match="the file of this run, with SHA-256 "):
        begun(directory)

"""Checkpoints of the usual trainers: unwrapped to the weights or to their average, and nothing in them is run."""

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any
from unittest.mock import Mock

import numpy
import pytest
import timm
import torch
from helpers.smoke import evaluate
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from roadmap.errors import DataError, shortage
from roadmap.networks.convert import recognise
from roadmap.networks.weight_files import read, weights_of

State = dict[str, Tensor]


def small() -> torch.nn.Module:
    return timm.models.ConvNeXt(num_classes=10, in_chans=1, depths=(1, 1, 1, 1), dims=(8, 16, 32, 64))


def state(seed: int) -> State:
    torch.manual_seed(seed)
    return small().state_dict()


def averaged(weights: State) -> State:
    """An average as torchvision's references save it: torch's AveragedModel with its counter."""
    network = small()
    network.load_state_dict(weights)
    return AveragedModel(network).state_dict()


def prefixed(weights: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in weights.items()}


ARGS = Namespace(
    lr=0.1, output_dir=Path("/out"), model="convnext", best=numpy.float64(81.5), device=torch.device("cpu")
)
TRAINERS: dict[str, tuple[Callable[[State], Any], Callable[[State], Any], str]] = {
    "timm": (lambda w: {"epoch": 3, "arch": "convnext", "args": ARGS, "state_dict": w, "metric": numpy.float32(81.5)},
             lambda e: {"state_dict_ema": e}, "state_dict"),
    "torchvision": (lambda w: {"model": w, "args": ARGS, "lr_scheduler": {"_schedulers": [{"last_epoch": 3}]}},
                    lambda e: {"model_ema": averaged(e)}, "model"),
    "authors": (lambda w: {"model": w, "epoch": 3, "args": ARGS, "scaler": {}}, lambda e: {"model_ema": e}, "model"),
    "imagenet example, DDP": (lambda w: {"state_dict": prefixed(w, "module."), "best_acc1": torch.tensor(81.5)},
                              lambda _: {}, "state_dict"),
    "compiled, DDP": (lambda w: {"model": prefixed(w, "module._orig_mod.")},
                      lambda e: {"ema": {"module": prefixed(e, "_orig_mod.")}}, "model"),
    "Lightning": (lambda w: {"state_dict": prefixed(w, "net."), "pytorch-lightning_version": "2"}, lambda _: {},
                  "state_dict"),
    "bare, compiled": (lambda w: prefixed(w, "_orig_mod."), lambda _: {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_checkpoint_gives_its_weights_and_its_average(trainer: str, tmp_path: Path) -> None:
    make, add, place = TRAINERS[trainer]
    raw, average, path = state(0), state(1), tmp_path / "checkpoint.pth"
    torch.save(make(raw) | add(average), path)
    found = weights_of(path, read(path))
    assert found.place == place and recognise(found.state).library == "timm"
    assert found.state.keys() == raw.keys() and all(torch.equal(found.state[key], raw[key]) for key in raw)
    if add(average):
        found = weights_of(path, read(path), ema=True)
        assert found.place.endswith(", an average") and found.state.keys() == average.keys()
        assert all(torch.equal(found.state[key], average[key]) for key in average)
    else:
        with pytest.raises(DataError, match="no average of weights: its first keys are "):
            weights_of(path, read(path), ema=True)


def test_options_beside_the_weights_are_only_values(tmp_path: Path) -> None:
    torch.save({"model": state(0), "args": ARGS}, tmp_path / "a.pth")
    args = read(tmp_path / "a.pth")["args"]
    assert args.lr == 0.1 and args.best == 81.5 and args.output_dir == PurePath("/out")
    assert not isinstance(args.output_dir, Path), "a path that cannot open files"


class Attack:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_beside_the_weights_is_not_run_and_its_name_is_given(tmp_path: Path, legacy: bool) -> None:
    for hidden in (Attack(f"touch {tmp_path / 'ran'}"), Namespace(run=Attack(f"touch {tmp_path / 'ran'}"))):
        torch.save({"model": {}, "args": hidden}, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
        named = "" if legacy else rf" \(found: {os.system.__module__}\.system\)"
        with pytest.raises(
            DataError,
            match=rf"a\.pth: it holds code or a whole model, which is not loaded: save its state_dict\(\){named}",
        ):
            read(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def test_the_line_says_which_weights_were_used_and_what_is_unknown_is_named(tmp_path: Path, data_root: Path) -> None:
    torch.save({"state_dict": state(0), "state_dict_ema": state(1), "args": ARGS}, tmp_path / "a.pth")
    words = [f"weights={tmp_path / 'a.pth'}", "study=smoke", f"data.root={data_root}", "data.max_test=20"]
    assert "layers named as in timm, weights in state_dict, recipe." in evaluate(*words)
    assert "layers named as in timm, weights in state_dict_ema, an average, recipe." in evaluate(*words, "ema=true")
    torch.save({"model_ema": state(1)}, tmp_path / "a.pth")
    assert "it has only an average of weights, model_ema: ema=true takes it" in evaluate(*words, code=2)
    torch.save({"state_dict": {"encoder.0.weight": torch.zeros(1), "decoder.bias": torch.zeros(1)}}, tmp_path / "a.pth")
    said = evaluate(*words, code=2)
    assert "a.pth: not the weights of a ResNet with bottlenecks or of a ConvNeXt, which begin with one of " in said
    assert "conv1.weight (torchvision or timm), features.0.0.weight (torchvision), stem.0.weight (timm)" in said
    assert said.endswith("; its first keys: encoder.0.weight, decoder.bias\n")


def test_a_shortage_of_memory_is_not_called_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "a.pth").write_bytes(b"x")
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    ):
        monkeypatch.setattr(torch, "load", Mock(side_effect=error))
        with pytest.raises(type(error)):
            read(path)
        assert shortage(error).startswith("out of memory: ")

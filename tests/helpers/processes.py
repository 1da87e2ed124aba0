"""Processes that share the imports of the tests' own, of which they are forks."""

import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch

from roadmap import cli
from roadmap.sweep.launcher import reset, train_command
from roadmap.sweep.status import Phase, RunState
from roadmap.training.command import main


def forked(processes: int, work: Callable[..., object], *arguments: Any) -> list[ForkProcess]:
    """Start work in several processes that find in the environment what torchrun would tell them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def member(rank: int) -> None:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        os.environ |= {key: str(value) for key, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"}
        torch.set_num_threads(1)  # other threads did not come along
        work(*arguments)

    started = [get_context("fork").Process(target=member, args=[rank]) for rank in range(processes)]
    for process in started:
        process.start()
    return started


def exit_codes(processes: list[ForkProcess]) -> list[int | None]:
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


class Trainer(ForkProcess):
    """A run's process in a sweep, in place of a `subprocess.Popen`."""

    def __init__(self, state: RunState, environment: dict[str, str]) -> None:
        reset(state, Phase.running)
        super().__init__(target=train, args=[state.run.directory])
        self.start()

    def poll(self) -> int | None:
        return self.exitcode

    returncode = property(poll)

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.join()


def train(directory: Path) -> None:
    """Carry out the run that is frozen in a directory."""
    sys.exit(cli.run("train", main, [word for word in train_command(directory) if "=" in word]))

"""What tests share."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.own_conf import copied, forget
from helpers.smoke import ROOT, tiny

from roadmap import runs
from roadmap.data.fetch import fetch


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from tests that do not ask for one: what they look at is the same on every machine."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        pytest.exit("there is no GPU here", returncode=2)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A directory that holds Fashion-MNIST: the repository's own data/, filled if it is not."""
    root = Path(__file__).parent.parent / "data"
    fetch("fashion_mnist", root)
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four validation photographs of each of four classes."""
    from helpers.photographs import plant

    return plant(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """The directory of a finished run of gelu, to be compared with and not to be changed."""
    from roadmap.training.run import execute

    directory = runs.prepare(tiny(tmp_path_factory.mktemp("undisturbed"), data_root, "+step=gelu"))
    execute(directory)
    return directory


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """README, results and notebooks as committed, whatever has been swept here since; and the data."""
    directory = tmp_path_factory.mktemp("committed")
    archive = f"git archive HEAD README.md results notebooks | tar -x -C {directory}"
    subprocess.run(archive, shell=True, cwd=ROOT, check=True)
    (directory / "data").symlink_to(data_root.resolve())
    return directory


@pytest.fixture
def own_conf(tmp_path: Path) -> Iterator[Path]:
    """A copy of conf/ to write into, which commands called in this process read."""
    with pytest.MonkeyPatch.context() as patch:
        yield copied(tmp_path, patch)
    forget()


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results directory of a half-finished study."""
    from helpers.report import half_finished

    return half_finished(tmp_path_factory.mktemp("half"))

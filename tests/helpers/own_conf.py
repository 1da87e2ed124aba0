"""A copy of conf/ to write into, which takes the place of the project's own in this process."""

import shutil
from pathlib import Path

import pytest

from roadmap.config import conf, designs, step_files, steps, yaml_files
from roadmap.sweep import cluster


def forget() -> None:
    """Read the files of conf/ anew."""
    cached = (step_files.read_ladder, steps.steps, designs.variants, conf._fingerprint, conf._check_files)
    for function in cached:
        function.cache_clear()  # type: ignore[attr-defined]


def copied(directory: Path, patch: pytest.MonkeyPatch) -> Path:
    """A copy of conf/ that this process reads until `patch` is undone and `forget` called."""
    own = shutil.copytree(yaml_files.CONF, directory / "conf")
    shutil.copytree(yaml_files.CONF.with_name("reference"), directory / "reference")
    for module in (yaml_files, step_files, conf, cluster):
        patch.setattr(module, "CONF", own)
    forget()
    return own

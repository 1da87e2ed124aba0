"""A run's directory: what may be taken over, and what is another run's."""

from pathlib import Path

import pytest

from roadmap import runs
from roadmap.config.compose import compose, load
from roadmap.errors import ConfigError
from roadmap.files import lock


def test_a_run_that_never_began_is_in_nobodys_way(tmp_path: Path) -> None:
    wrong, right = (
        compose(["study=imagenet", "study.name=mine", f"recipe.lr={lr}", f"runs_dir={tmp_path}"]) for lr in (9, 1)
    )
    directory = runs.prepare(wrong)
    runs.write_json(directory / runs.FAILURE, {"error": "refused"})
    with lock(directory), pytest.raises(ConfigError, match=r"holds another run: recipe\.lr \(9\.0 there, now 1\.0\)"):
        runs.prepare(right)
    assert runs.prepare(right) == directory
    assert load(directory / runs.CONFIG) == right


@pytest.mark.parametrize("work", [runs.CHECKPOINT, runs.PREVIOUS_CHECKPOINT, runs.METRICS, runs.RESULT, runs.JOB])
def test_what_has_done_anything_is_not_taken_over(work: str, tmp_path: Path) -> None:
    there, wanted = (compose(["study.name=mine", f"recipe.lr={lr}", f"runs_dir={tmp_path}"]) for lr in (9, 1))
    (runs.prepare(there) / work).write_text("")
    with pytest.raises(ConfigError, match=r"holds another run: recipe\.lr"):
        runs.prepare(wanted)

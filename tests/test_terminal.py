"""Names of files in what commands print and write: any bytes, escaped where they cannot be shown."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.photographs import break_file
from helpers.smoke import ROOT, inside, words

from roadmap import runs
from roadmap.config.compose import compose, load
from roadmap.errors import printable
from roadmap.files import write_atomic
from roadmap.terminal import Terminal
from roadmap.tracking.mirror import run_record

NOT_UTF_8 = os.fsdecode(b"caf\xe9")
OBEYED = "[red]\x1b]0;x\x07"  # rich's markup, and what sets a terminal's title


def test_what_cannot_be_printed_is_escaped() -> None:
    assert printable(f"{NOT_UTF_8} é\n{OBEYED}\u202e\t") == "caf\\xe9 é\n[red]\\x1b]0;x\\x07\\u202e\\t"
    Terminal(file=(said := io.StringIO())).print(f"{OBEYED} :smile:")
    assert said.getvalue() == "[red]\\x1b]0;x\\x07 :smile:\n"


def said(*command: str, encoding: str) -> tuple[int, list[str]]:
    """Exit code and lines of a command whose output has this encoding."""
    env = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict"}
    run = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, check=False)
    return run.returncode, (run.stdout + run.stderr).decode(encoding).splitlines()


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "é"), ("ascii", "\\xe9")])
def test_names_of_any_bytes_are_escaped_in_what_commands_say(
    encoding: str, shown: str, tmp_path: Path, photographs: Path
) -> None:
    root = Path(shutil.copytree(photographs, tmp_path / f"é{NOT_UTF_8}"))
    for part in ("train", "val"):
        (root / part / "rocket").rename(root / part / f"r{NOT_UTF_8}")
    broken = (root / "train" / "coffee" / "0.JPEG").rename(root / "train" / "coffee" / f"{OBEYED}{NOT_UTF_8}.JPEG")
    break_file(broken)
    code, lines = said("scripts/check_data.py", "study=photos", f"data.root={root}", encoding=encoding)
    place = f"{tmp_path}/{shown}caf\\xe9"
    assert lines[0] == f"imagefolder: ready in {place}"
    assert f"error: {place}/train/coffee/[red]\\x1b]0;x\\x07caf\\xe9.JPEG: cannot be read: " in "\n".join(lines)
    assert code == 1 and "train: 31 images in 4 classes" in lines


def test_words_of_any_bytes_are_refused_in_a_line(tmp_path: Path) -> None:
    for word in (f"+step={NOT_UTF_8}", f"{OBEYED}=1", f"study={NOT_UTF_8}", f"run={NOT_UTF_8}"):
        code, lines = said("train.py", word, encoding="utf-8")
        assert code == 2 and len(lines) <= 2 and lines[0].startswith("train: ") and "\x1b" not in lines[0]


def test_a_run_in_places_whose_names_are_no_utf_8(tmp_path: Path, data_root: Path) -> None:
    places = [tmp_path / f"{name}{NOT_UTF_8}" for name in ("data", "runs", "results")]
    places[0].symlink_to(data_root.absolute())
    title = f"step.title='{NOT_UTF_8} {OBEYED}'"
    asked = words(places[1], places[0], "step.name=mine", title)
    directory = runs.prepare(compose(asked))
    frozen = load(directory / runs.CONFIG)
    assert (frozen.runs_dir, frozen.data.root) == (str(places[1]), str(places[0]))
    assert frozen.step.title == "caf\\xe9 [red]\\x1b]0;x\\x07"
    assert run_record(frozen).config["data"]["root"] == printable(str(places[0]))
    code, text = inside("train.py", *asked)
    assert code == 0 and runs.finished(directory), text
    for command in ("collate", "plot"):
        code, text = inside(f"scripts/{command}.py", "study=tiny", f"runs_dir={places[1]}", f"results_dir={places[2]}")
        assert code == 0, text
    assert "caf\\xe9" in (places[2] / "tiny" / "ladder.csv").read_text()
    write_atomic(tmp_path / "file", f"{NOT_UTF_8}é")
    assert (tmp_path / "file").read_text() == "caf\\udce9é"

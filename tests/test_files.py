"""Files are written whole or not at all, and directories are held by one process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.powercut import power_cuts
from helpers.smoke import ROOT

from roadmap.files import in_use, lock, refuse_links, remove_tree, write_atomic


def test_power_cut_while_a_file_is_written_leaves_the_old_one_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("what was there before")
    with power_cuts(tmp_path) as moments:
        write_atomic(path, "what is there now")
    assert len(moments) > 4
    assert {left[path.name] for left in moments} == {b"what was there before", b"what is there now"}
    (tmp_path / "a").write_text("before")  # a write without fsync would be noticed
    with power_cuts(tmp_path) as moments:
        (tmp_path / "b").write_text("now")
        (tmp_path / "b").replace(tmp_path / "a")
    assert b"" in {left["a"] for left in moments}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (victim := tmp_path / "victim").write_text("somebody's")
    for name in (".lock", f".result.json.{os.getpid()}.tmp"):
        (tmp_path / name).symlink_to(victim)
        with pytest.raises(OSError, match="symbolic links"), lock(tmp_path):
            write_atomic(tmp_path / "result.json", "x")
        (tmp_path / name).unlink(missing_ok=True)
    assert victim.read_text() == "somebody's" and not (tmp_path / "result.json").exists()


def test_libraries_are_given_no_place_that_is_or_holds_a_link(tmp_path: Path) -> None:
    (victim := tmp_path / "victim").mkdir()
    (victim / "file").write_text("somebody's")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "a" / "b").mkdir(parents=True)
    refuse_links(tmp_path / "a")
    (tmp_path / "a" / "own").symlink_to("b")
    refuse_links(tmp_path / "absent")
    (tmp_path / "a" / "b" / "deep").symlink_to(victim / "file")
    for place, named, below in (("link", "link", False), ("link", "link", True), ("a", "a/b/deep", True)):
        with pytest.raises(OSError, match="a link, through which somebody's file might be written") as refusal:
            refuse_links(tmp_path / place, below=below)
        assert refusal.value.filename == str(tmp_path / named)
    refuse_links(tmp_path / "a", below=False)
    for place in ("link", "a", "absent"):
        remove_tree(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["victim"] and (victim / "file").read_text() == "somebody's"


def test_a_directory_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), lock(tmp_path / "gone", make=False):
        pass
    assert not (tmp_path / "gone").exists()


def test_a_pipe_as_lock_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    assert in_use(tmp_path) in (True, False)


def test_files_are_written_in_one_module_alone() -> None:
    writes = re.compile(r"\.write_(text|bytes)\(|open\([^)\n]*[\"'](w|a|x|r\+)")
    for path in sorted((ROOT / "roadmap").rglob("*.py")):
        lines = [line for line in path.read_text().splitlines() if writes.search(line)]
        own = [line for line in lines if "open_no_link(" not in line]
        assert not own, f"{path}: {own}"


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    code = "import sys, os, signal; from pathlib import Path; from roadmap.files import lock\n"
    code += f"with lock(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text().isdigit()
    with lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())

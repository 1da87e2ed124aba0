"""The words that users read: plain technical English, the same word for the same thing everywhere."""

import subprocess

import pytest
from helpers.smoke import ROOT

WORDS = {
    r"told from zero": "significant",
    r"\brungs?\b": "step",
    r"\broads?\b": "ladder",
    r"\b(side|recipe|paper's|other) (rung|road)s?\b": "side step, recipe ladder",
    r"\b(beside|on|off) the (road|path)\b": "side step, main sequence",
    r"\bdepart(s|ed|ing|ures?)?\b": "deviates, deviations",
    r"\bexpenses?\b": "cost estimate",
    r"\bshrinking\b": "resize",
    r"\b(keeper|verdict)s?\b": "checkpointer, exit status",
    r"\btroubles?\b": "errors",
    r"\btwins?\b": "duplicate, copy",
    r"\bimages a second\b": "images per second",
    r"\b(job|process|line|row|box|mark|word) a (run|word|layer|line|class|step|second|stage)\b": "per",
    r"\b(hours?|seconds|images|blocks|seeds|runs|epochs|norms?) a (seed|step|stage|block|run|class|second)\b": "per",
    r"\bconclusions?\b": "notes, significance",
}
"""Words of the project's first version, and the words that replaced them."""
TEXTS = ["README.md", "CONTRIBUTING.md", "Makefile", "docs", "roadmap", "scripts", "conf", "train.py", "benchmarks"]
ALIASES = ":!roadmap/config/aliases.py"  # reads the old names


@pytest.mark.parametrize("old", WORDS)
def test_old_words_are_gone(old: str) -> None:
    command = ["git", "grep", "-InP", old, "--", *TEXTS, ALIASES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, f"write {WORDS[old]!r}:\n{done.stdout}{done.stderr}"

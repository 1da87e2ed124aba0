"""Compare two studies; `--help` says more."""

from roadmap.__main__ import start

start("compare")

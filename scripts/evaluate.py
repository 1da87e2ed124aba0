"""Evaluate a file of weights; `--help` says more."""

from roadmap.__main__ import start

start("evaluate")

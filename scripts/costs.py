"""Print parameters and multiply-adds of every step; `--help` says more."""

from roadmap.__main__ import start

start("costs")

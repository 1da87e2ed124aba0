"""Export a trained network; `--help` says more."""

from roadmap.__main__ import start

start("export")

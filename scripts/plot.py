"""Draw the ladder of a study; `--help` says more."""

from roadmap.__main__ import start

start("plot")

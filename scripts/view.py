"""Build the report of a study; `--help` says more."""

from roadmap.__main__ import start

start("view")

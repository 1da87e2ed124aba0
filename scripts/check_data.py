"""Check every image of a study's data; `--help` says more."""

from roadmap.__main__ import start

start("check_data")

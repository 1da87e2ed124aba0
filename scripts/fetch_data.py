"""Make the data of a study ready; `--help` says more."""

from roadmap.__main__ import start

start("fetch_data")

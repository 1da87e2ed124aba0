"""Write the table of a study; `--help` says more."""

from roadmap.__main__ import start

start("collate")

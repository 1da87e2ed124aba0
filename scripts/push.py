"""Send a study to a tracker; `--help` says more."""

from roadmap.__main__ import start

start("push")

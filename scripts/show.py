"""Show one step of a ladder; `--help` says more."""

from roadmap.__main__ import start

start("show")

"""Write the table of the paper's own seeds; `--help` says more."""

from roadmap.__main__ import start

start("paper")

"""Split a folder of classes into train and val; `--help` says more."""

from roadmap.__main__ import start

start("split")

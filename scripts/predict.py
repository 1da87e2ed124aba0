"""Name the classes of images; `--help` says more."""

from roadmap.__main__ import start

start("predict")

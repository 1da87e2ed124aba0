"""Publish the results of a study; `--help` says more."""

from roadmap.__main__ import start

start("publish")

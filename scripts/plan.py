"""Estimate what a sweep takes; `--help` says more."""

from roadmap.__main__ import start

if __name__ == "__main__":  # its measuring processes import this file
    start("plan")

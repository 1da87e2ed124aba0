"""Make a resized copy of an image tree; `--help` says more."""

from roadmap.__main__ import start

if __name__ == "__main__":  # worker processes import this file
    start("prepare")

"""Train one step of the ladder; `--help` says more."""

from roadmap.__main__ import start

if __name__ == "__main__":
    start("train")

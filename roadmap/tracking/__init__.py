"""Trackers mirror the files of runs; nothing is read back from them."""

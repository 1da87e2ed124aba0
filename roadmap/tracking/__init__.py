"""Trackers: mirrors of what runs leave in their directories, which nothing reads back from."""

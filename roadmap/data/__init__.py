"""Data sets: fetched, read, augmented and inspected."""

"""From result files to tables: no torch."""

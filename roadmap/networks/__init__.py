"""The networks of the ladder, built from a table of ops."""

"""The configuration of a run: its schema, how it is composed and checked, and the steps as data."""

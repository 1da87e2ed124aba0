"""Figures and the report of a study: no torch."""

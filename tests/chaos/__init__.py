"""Faults at random moments of real sweeps; the results must be those of an undisturbed sweep."""

"""Faults at random moments of real sweeps, and the promise that they change nothing."""

"""Chaos: real processes under seeded faults, and an oracle that checks the results."""

"""Chaos: real processes under seeded faults, and an oracle that judges what came of it."""

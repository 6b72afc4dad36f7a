"""Rebuild the read models: fill a new generation, compare it with the live one, and switch."""

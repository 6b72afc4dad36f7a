"""Rebuilding the read models: fill a new generation, compare it, switch to it."""

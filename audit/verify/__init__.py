"""Verifying the log and everything derived from it."""

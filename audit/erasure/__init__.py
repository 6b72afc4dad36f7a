"""Erasing a person from the log and the read models."""

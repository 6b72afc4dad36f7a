"""Retention: delete old data, and report the rest."""

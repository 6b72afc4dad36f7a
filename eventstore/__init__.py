"""The append-only log: the source of truth, and its own outbox.

Everything else in the system can be rebuilt from it.
"""

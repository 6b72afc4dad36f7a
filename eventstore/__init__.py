"""The append-only log: append, read, hash chain, personal data apart, sources, wake-up.

The log is the truth and its own outbox. Everything else in the system can be built from it again.
"""

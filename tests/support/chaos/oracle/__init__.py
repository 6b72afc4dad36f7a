"""Judges a run by its own reading of log, topic, read models and record of what was asked.

Shares no code with the system: plain SQL, another Kafka client, and rules written down again.
"""

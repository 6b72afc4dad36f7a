"""Checks a run by its own reading of log, topic, read models and published requests.

Shares no code with the system: plain SQL, another Kafka client, and rules written down again.
"""

"""Publishes the log to Kafka, by one leader at a time, and runs the leader's chores."""

"""Kafka: CloudEvents ↔ records, topics, intake, waiting for what is down."""

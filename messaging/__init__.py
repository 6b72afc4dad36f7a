"""Kafka: connections, topics, CloudEvents, consumers, publishers and dead letters."""

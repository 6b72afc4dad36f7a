"""The local sandbox: PostgreSQL and a Kafka-compatible broker from wheels, and a Sessionize."""

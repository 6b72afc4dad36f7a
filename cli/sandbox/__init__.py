"""The local sandbox: PostgreSQL, a Kafka-compatible broker and a Sessionize double, from wheels."""

"""Publishing the log to Kafka, by one leader at a time, and the leader's chores."""

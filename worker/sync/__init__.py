"""One sync from its Kafka record to the append: consume, handle, run, append; and plan."""

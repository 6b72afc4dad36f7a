"""Ways to have a real Apache Kafka, for `tests/support/apache_kafka.py`."""

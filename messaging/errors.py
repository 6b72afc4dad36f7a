"""Errors of Kafka; only outages are retried, wrong requests are not."""

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NoBrokersAvailable,
    NodeNotReadyError,
    RecordListTooLargeError,
    UnknownError,
)

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""The broker refused a record: it exceeds the topic's limit or the size of a log segment."""

_PASSING = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    NoBrokersAvailable,
    UnknownError,
)


def is_kafka_outage(error: BaseException) -> bool:
    """Return whether the same request may succeed later, unchanged."""
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, _PASSING)
    return isinstance(error, OSError)

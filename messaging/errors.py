"""Telling a broker that is down, which is waited for, from a request that is wrong."""

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
"""What a broker says of a record that is too large for a topic, or for a segment of it."""

_PASSING = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    NoBrokersAvailable,
    UnknownError,
)


def is_kafka_outage(error: BaseException) -> bool:
    """Whether waiting can help: the same request may succeed later, unchanged."""
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, _PASSING)
    return isinstance(error, OSError)

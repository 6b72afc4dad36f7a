"""A record of Kafka as its bytes.

It has a module of its own, so that a command that reads records does not import FastStream.
"""

from typing import TypeAlias

from aiokafka import ConsumerRecord

RawRecord: TypeAlias = "ConsumerRecord[bytes, bytes]"
"""A record whose key, value and headers are not decoded."""

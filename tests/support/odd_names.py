"""Records with header names that are not UTF-8: Kafka accepts them, clients cannot send them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class OddName(str):
    """A header name that is sent as Latin-1."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


@asynccontextmanager
async def sending_odd_names(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer that accepts an `OddName`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (message_accumulator, producer):
            patch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        sender = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=50)
        await sender.start()
        try:
            yield sender
        finally:
            await sender.stop()

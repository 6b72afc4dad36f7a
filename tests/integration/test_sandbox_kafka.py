"""The check whether the sandbox's broker answers."""

import asyncio
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest

from cli.sandbox.kafka import broker_answers

pytestmark = pytest.mark.asyncio


async def test_another_cluster_on_the_port_is_not_our_broker(module_kafka: str) -> None:
    assert await broker_answers(module_kafka)
    assert not await broker_answers(module_kafka, "another cluster")


async def test_a_cancelled_check_leaves_no_connection(
    module_kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking: set[AIOKafkaConnection] = set()
    has_asked = asyncio.Event()
    send = AIOKafkaConnection.send

    def watched(connection: AIOKafkaConnection, request: Any, **options: Any) -> Any:
        if isinstance(request, MetadataRequest):
            asking.add(connection)
            has_asked.set()
        return send(connection, request, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", watched)
    task = asyncio.create_task(broker_answers(module_kafka))
    await has_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(connection.connected() for connection in asking)

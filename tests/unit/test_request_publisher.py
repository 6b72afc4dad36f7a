"""Publishing from the HTTP side while the broker is away, by a port on which nobody listens."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit.http.bodies import PublishError
from cli.api import RequestPublisher
from messaging.connection import KafkaConnection
from tests.support.documents import WINDOW
from tests.support.line import a_request
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.asyncio

WITHOUT_CLOCK = SimpleNamespace(clock=None)
"""A log that is not asked for its clock, since no record is refused."""


async def refusal(publisher: RequestPublisher) -> str:
    with pytest.raises(PublishError) as refused:
        await publisher.publish(a_request("demo2026", WINDOW))
    return str(refused.value)


async def test_a_request_that_cannot_be_published_names_the_cause() -> None:
    nobody = KafkaConnection(f"127.0.0.1:{free_port()}")
    publisher = RequestPublisher(nobody, cast("Any", WITHOUT_CLOCK))
    assert "Kafka has not answered yet" in await refusal(publisher)
    running = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while "does not answer: the connection was refused" not in await refusal(publisher):
                await asyncio.wait([running], timeout=0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert str(nobody) in await refusal(publisher)

"""Publishing from the HTTP side while the broker is away, by a port on which nobody listens."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from aiokafka.errors import RequestTimedOutError

from audit.http.bodies import PublishError
from cli import api
from cli.api import RequestPublisher
from contracts.messages import SpeakerErasureRequested, SyncRequested
from messaging.connection import KafkaConnection
from tests.support.documents import WINDOW
from tests.support.erasures import a_call
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


@pytest.mark.parametrize("request_", [a_request("demo2026", WINDOW), a_call(speaker_id=uuid4())])
async def test_a_request_that_is_not_confirmed_names_the_id_to_send_again(
    monkeypatch: pytest.MonkeyPatch, request_: SyncRequested | SpeakerErasureRequested
) -> None:
    async def lose(*_: object, **__: object) -> None:
        raise RequestTimedOutError

    monkeypatch.setattr(api, "publish_request", lose)
    monkeypatch.setattr(api, "publish_erasure", lose)
    publisher = RequestPublisher(KafkaConnection("kafka:9092"), cast("Any", WITHOUT_CLOCK))
    monkeypatch.setattr(publisher, "_producer", object())
    with pytest.raises(PublishError, match=f"again with request_id {request_.request_id}"):
        await publisher.publish(request_)

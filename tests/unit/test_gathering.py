"""A gathered gauge is shown while it is fresh, and never as an old number without a sign."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from cli.telemetry import gathering
from cli.telemetry.gathering import Gatherer, Reading, Sample, Source

pytestmark = pytest.mark.asyncio

GAUGE = "spreaview_open_runs"
FAILED = "spreaview_gathering_failed"


class Server:
    """A server that answers, refuses, or does not answer."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.hangs = False
        self.opened = 0
        self.reads = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Server"]:
        self.opened += 1
        yield self

    async def read(self, _: "Server") -> Sequence[Sample]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return [Sample(GAUGE, self.reads)]


def gatherer_of(server: Server, *, period: float = 3600) -> Gatherer:
    return Gatherer([Source(server.open, [Reading("open_runs", server.read)])], period=period)


def shown(gatherer: Gatherer) -> dict[str, float]:
    return {s.name: s.value for family in gatherer.collect() for s in family.samples}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.001)


async def gathered(server: Server) -> dict[str, float]:
    """What the second scrape shows, after one round."""
    gatherer = gatherer_of(server)
    async with gatherer.running():
        await gatherer.scraped()
    return shown(gatherer)


async def test_nothing_is_read_until_somebody_scrapes() -> None:
    server = Server()
    gatherer = gatherer_of(server, period=0.001)
    async with gatherer.running():
        for _ in range(20):
            await asyncio.sleep(0)
        assert server.opened == 0
        await gatherer.scraped()
        assert server.opened >= 1


async def test_many_scrapes_read_once_in_a_period() -> None:
    server = Server()
    gatherer = gatherer_of(server)
    async with gatherer.running():
        for _ in range(50):
            await gatherer.scraped()
    assert server.reads == 1
    found = shown(gatherer)
    assert (found[GAUGE], found[FAILED]) == (1, 0)


async def test_a_reading_that_fails_shows_no_value() -> None:
    server = Server()
    gatherer = gatherer_of(server, period=0.001)
    async with gatherer.running():
        await gatherer.scraped()
        assert GAUGE in shown(gatherer)
        server.error = KafkaConnectionError("away")
        await until(lambda: GAUGE not in shown(gatherer))
        assert shown(gatherer)[FAILED] == 1
        server.error = None
        await until(lambda: GAUGE in shown(gatherer))
        assert shown(gatherer)[FAILED] == 0


async def test_a_reading_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_READING_SECONDS", 0.01)
    server = Server()
    server.hangs = True
    assert await gathered(server) == {FAILED: 1}


async def test_a_scrape_does_not_wait_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(gathering, "_END_SECONDS", 0.01)
    server = Server()
    server.hangs = True
    async with asyncio.timeout(5):
        assert await gathered(server) == {}


async def test_a_reading_that_cannot_be_cancelled_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(gathering, "_END_SECONDS", 0.01)
    server = Server()
    server.hangs = True
    source = Source(server.open, [Reading("open_runs", server.read)], cancels=False)
    gatherer = Gatherer([source], period=3600)
    async with gatherer.running():
        await gatherer.scraped()
        monkeypatch.setattr(gathering, "_READING_SECONDS", 0.0)
        assert shown(gatherer) == {FAILED: 1}
        assert server.reads == 1


async def test_the_end_lets_a_reading_finish() -> None:
    server, may_end, has_ended = Server(), asyncio.Event(), False

    async def read(_: Server) -> Sequence[Sample]:
        nonlocal has_ended
        await may_end.wait()
        has_ended = True
        return []

    gatherer = Gatherer([Source(server.open, [Reading("open_runs", read)])], period=3600)
    async with gatherer.running():
        scraping = asyncio.create_task(gatherer.scraped())
        await until(lambda: server.opened == 1)
        asyncio.get_running_loop().call_later(0.01, may_end.set)
    assert has_ended
    await scraping


async def test_values_that_nobody_renews_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    gatherer = gatherer_of(Server())
    async with gatherer.running():
        await gatherer.scraped()
    assert GAUGE in shown(gatherer)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 4 * 3600)
    found = shown(gatherer)
    assert GAUGE not in found
    assert found[FAILED] == 1


async def test_a_missing_right_leaves_the_reading_out(caplog: pytest.LogCaptureFixture) -> None:
    server, allowed = Server(), Server()
    server.error = TopicAuthorizationFailedError("some.topic")
    sources: list[Source[Any]] = [
        Source(server.open, [Reading("seals", server.read)]),
        Source(allowed.open, [Reading("open_runs", allowed.read)]),
    ]
    gatherer = Gatherer(sources, period=0.001)
    with caplog.at_level(logging.INFO):
        async with gatherer.running():
            await gatherer.scraped()
            await until(lambda: server.reads > 2)
    labels = [s.labels for family in gatherer.collect() for s in family.samples if s.name == FAILED]
    assert labels == [{"reading": "open_runs"}]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "the metrics of seals are left out: this user lacks rights on the topic some.topic"
    ]

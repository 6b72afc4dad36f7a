"""Damaged records: header names that are not UTF-8, and the neighbours of a broken batch."""

import asyncio
import logging
from itertools import count
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import TopicAuthorizationFailedError

from contracts.topics import DEFAULT_PARTITIONS
from messaging import aiokafka_patches as fetching
from messaging.topic_reader import open_topic_reader, to_the_end
from tests.support.brokers import KnownBroker
from tests.support.brokers import broker as broker
from tests.support.keyed_group import Group, until, until_committed
from tests.support.odd_names import OddName, sending_odd_names

pytestmark = pytest.mark.asyncio

BROKEN_PARTITION = 2
MARK = b"broken:0"


async def test_a_header_name_that_is_not_utf8_is_read(broker: KnownBroker) -> None:
    """All records are in one batch, the odd one in its middle."""
    topic = await broker.a_topic()
    name = OddName("caf\xe9")
    headers = [[("ok", b"1")], [("before", b"2"), (name, b"\xff"), ("after", None)], [("ok", b"3")]]
    async with sending_odd_names(broker.address) as sender:
        sent = [
            await sender.send(topic, str(number).encode(), headers=told, partition=0)
            for number, told in enumerate(headers)
        ]
        await asyncio.gather(*sent)

    async with open_topic_reader(broker.connection) as reader:
        found = [r async for r in to_the_end(reader, [TopicPartition(topic, 0)])]

    assert [(r.offset, r.value) for r in found] == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert [list(r.headers) for r in found] == [
        [("ok", b"1")],
        [("before", b"2"), ("caf\\xe9", b"\xff"), ("after", None)],
        [("ok", b"3")],
    ]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While the list has an element, batches with the mark arrive with a wrong checksum."""
    broken = [True]
    whole: Any = fetching._Records

    class Broken(whole):  # type: ignore[misc]
        def __init__(self, fetched: bytes) -> None:
            super().__init__(fetched.replace(MARK, b"BROKEN:0") if broken else fetched)

    monkeypatch.setattr(fetching, "_Records", Broken)
    return broken


async def test_an_unreadable_batch_stops_its_partition_and_no_record_is_lost(
    broker: KnownBroker, breaks: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(broker.address, await broker.a_topic(), broker.session_seconds)
    others = [f"{p}:{n}" for p in range(DEFAULT_PARTITIONS) for n in range(5)]
    for value in others:
        await group.publish(value, partition=int(value.partition(":")[0]))
    await group.publish(MARK.decode(), "late:0", partition=BROKEN_PARTITION)

    with caplog.at_level(logging.INFO, "messaging.backoff"):
        async with group.member() as member:
            await until(lambda: len(member.done) >= len(others))
            assert sorted(member.done) == sorted(others)
            breaks.clear()
            await until(lambda: len(member.done) >= len(others) + 2)
            assert member.done[-2:] == [MARK.decode(), "late:0"]
            await until_committed(
                group,
                {p: 5 + 2 * (p == BROKEN_PARTITION) for p in range(DEFAULT_PARTITIONS)},
            )
    assert states(caplog, f"fetching {group.topic}/{BROKEN_PARTITION}") == [
        "is failing",
        "works again",
    ]


async def test_a_refused_fetch_is_logged_once(
    broker: KnownBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(broker.address, await broker.a_topic(), broker.session_seconds)
    await group.publish("a:0")
    fetched_records, refused = Fetcher.fetched_records, count()

    async def refusing(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(refused) < 2:
            raise TopicAuthorizationFailedError(group.topic)
        return await fetched_records(self, *args, **kwargs)

    monkeypatch.setattr(Fetcher, "fetched_records", refusing)
    with caplog.at_level(logging.INFO, "messaging.backoff"):
        async with group.member() as member:
            await until(lambda: member.done == ["a:0"])
    assert states(caplog, "fetching from Kafka") == ["is failing", "works again"]


def states(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    """Return the logged states of an operation, without the reasons."""
    logged = [r.getMessage() for r in caplog.records if r.getMessage().startswith(f"{what} ")]
    return [line.removeprefix(f"{what} ").split(";")[0] for line in logged]

"""The installation that is examined: its addresses, and the facts that several checks share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from aiokafka.admin import NewTopic
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.brokers import is_sandbox
from cli.connections import Addresses
from cli.settings import Settings
from cli.status.gather import Sections
from cli.status.report import Status
from messaging.connection import KafkaConnection
from messaging.topic_facts import TopicFacts, topic_facts
from messaging.topics import our_topics

T = TypeVar("T")


class Limits(NamedTuple):
    """The time that may pass."""

    check_seconds: float
    """In one check."""
    section_seconds: float
    """In a section of the status: less than in a check, because checks wait for sections."""
    all_seconds: float
    """In all checks."""

    def after(self, seconds: float) -> "Limits":
        """The limits if some seconds have passed: less time for all checks, but enough for one.

        A machine that needs so long for the start can still learn which server does not answer.
        """
        return self._replace(all_seconds=max(self.check_seconds + 1.0, self.all_seconds - seconds))


LIMITS = Limits(3.0, 2.5, 9.0)
"""The rest of 10 seconds is for the end of the command; its start takes time from `all_seconds`."""


class Installation:
    """The settings, the addresses, and facts that are read once.

    The checks share the few connections of `engine`.
    """

    def __init__(
        self,
        settings: Settings,
        addresses: Addresses,
        engine: AsyncEngine,
        limits: Limits = LIMITS,
    ) -> None:
        self.settings = settings
        self.limits = limits
        self.addresses = addresses
        self.engine = engine
        self.kafka_is_away = ""
        """Why Kafka does not answer; empty while it is not known to be away."""
        self._read: dict[str, asyncio.Future[Any]] = {}

    @property
    def kafka(self) -> KafkaConnection:
        """The brokers."""
        return self.addresses.kafka

    async def status(self) -> Status:
        """The status of the system; a section that is late is not known."""
        return await self._once("status", self._status)

    async def topics(self) -> list[TopicFacts]:
        """The topics of ours that exist, as they are."""
        return await self._once("topics", self._topics)

    async def is_sandbox(self) -> bool:
        """Whether the broker is a sandbox's: that one lacks some abilities."""
        return await self._once("sandbox", self._is_sandbox)

    async def _status(self) -> Status:
        sections = Sections(
            self.settings,
            self.addresses,
            seconds=self.limits.section_seconds,
            kafka_is_away=self.kafka_is_away,
        )
        return await sections.read_all()

    async def _topics(self) -> list[TopicFacts]:
        return await topic_facts(self.kafka, wanted_topics(self.settings))

    async def _is_sandbox(self) -> bool:
        return await is_sandbox(self.kafka)

    async def _once(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        """Read a fact at the first call; a check that gives up does not stop it for the others."""
        if name not in self._read:
            self._read[name] = asyncio.ensure_future(read())
        found: T = await asyncio.shield(self._read[name])
        return found


def wanted_topics(given: Settings) -> list[NewTopic]:
    """Return our topics as these settings declare them."""
    return our_topics(
        given.kafka_partitions,
        given.kafka_replication_factor,
        given.events_retention_days,
        given.erasure_retention_days,
    )

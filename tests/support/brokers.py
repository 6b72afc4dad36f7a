"""One suite for both brokers; this module declares their missing features, which are tested.

`tests/integration/test_brokers.py` checks that each broker has its features and that the sandbox's
broker lacks the others. So that test fails once the sandbox's broker gets another feature.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from cli.sandbox.kafka import kafka
from contracts.topics import DEFAULT_PARTITIONS
from messaging.connection import KafkaConnection
from tests.support.apache_kafka import own_broker


class Can(StrEnum):
    """A feature that a broker may have."""

    TRANSACTIONS = "commit records and offsets in one transaction, and fence an old producer"
    LOG_APPEND_TIME = "stamp records with its own clock"
    REFUSE_LARGE = "refuse a record beyond a topic's max.message.bytes"
    KEEP = "keep its records over a restart"


CAPABILITIES = {"sandbox": frozenset[Can](), "apache": frozenset(Can)}


class KnownBroker(NamedTuple):
    """A running broker and its features."""

    name: str
    address: str

    @property
    def connection(self) -> KafkaConnection:
        """The connection for our own clients."""
        return KafkaConnection(self.address)

    @property
    def session_seconds(self) -> float:
        """The shortest session: the sandbox's broker waits for this long at every rebalance."""
        return {"sandbox": 1.0, "apache": 6.0}[self.name]

    def can(self, what: Can) -> bool:
        return what in CAPABILITIES[self.name]

    def needs(self, what: Can) -> None:
        """End the test here, as declared, if the broker lacks the feature."""
        if not self.can(what):
            pytest.skip(f"declared: the {self.name} broker cannot {what}")

    async def a_topic(self, **configs: str) -> str:
        """Create a topic with a new name."""
        name = f"topic-{uuid4()}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            named = {key.replace("_", "."): value for key, value in configs.items()}
            topic = NewTopic(name, DEFAULT_PARTITIONS, 1, topic_configs=named)
            answer = await admin.create_topics([topic])
            assert [code for _, code, *_ in answer.topic_errors] == [0]
        finally:
            await admin.close()
        return name


@pytest_asyncio.fixture(scope="module", params=["sandbox", "apache"])
async def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KnownBroker]:
    """Each broker in turn, shared by the module: use new names for topics and groups."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    if request.param == "apache":
        async with own_broker(folder) as apache:
            yield KnownBroker("apache", apache.address)
    else:
        async with kafka(log_path=folder / "kafka.log") as address:
            yield KnownBroker("sandbox", address)

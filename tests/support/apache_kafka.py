"""A real Apache Kafka for the tests, from any available source.

The sources, in this order: the address in SPREAVIEW_TEST_KAFKA; a container by testcontainers,
where a Docker engine runs; the broker from Maven Central, where Java 17 or newer and Maven are.
Without a source the tests are skipped with the reason. SPREAVIEW_TEST_REQUIRE_KAFKA=1 makes that
a failure.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import pytest_asyncio

from tests.support.kafka.broker import Broker, NoKafkaError
from tests.support.kafka.jvm import JvmBroker, jvm_broker
from tests.support.kafka.secured import SecuredListeners

logger = logging.getLogger(__name__)

ADDRESS = "SPREAVIEW_TEST_KAFKA"
REQUIRED = "SPREAVIEW_TEST_REQUIRE_KAFKA"


@pytest_asyncio.fixture(scope="session")
async def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return `host:port` of a broker that all tests share: use new names for topics and groups."""
    if address := os.environ.get(ADDRESS):
        yield address
        return
    async with own_broker(tmp_path_factory.mktemp("apache-kafka")) as broker:
        yield broker.address


@asynccontextmanager
async def own_broker(folder: Path) -> AsyncIterator[Broker]:
    """Run a separate broker that the caller may stop, kill and start again.

    Without a broker the test is skipped, or fails with SPREAVIEW_TEST_REQUIRE_KAFKA=1.

    Args:
        folder: an existing folder for data and logs.
    """
    from tests.support.kafka.container import container_broker  # slow to import, seldom needed

    async with AsyncExitStack() as stack:
        missing: list[str] = []
        for way in (container_broker, partial(jvm_broker, folder)):
            try:
                broker: Broker = await stack.enter_async_context(way())
                break
            except NoKafkaError as error:
                missing.append(str(error))
        else:
            _do_without("; ".join(missing))
        logger.info("Apache Kafka at %s, by %s", broker.address, type(broker).__name__)
        yield broker


@asynccontextmanager
async def own_broker_behind(folder: Path, proxy_port: int) -> AsyncIterator[JvmBroker]:
    """Run a broker as `own_broker`, by Java only, with a second address behind a proxy."""
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(jvm_broker(folder, proxy_port=proxy_port))
        except NoKafkaError as error:
            _do_without(str(error))
        yield broker


@asynccontextmanager
async def own_secured_broker(folder: Path, secured: SecuredListeners) -> AsyncIterator[JvmBroker]:
    """Run a broker as `own_broker`, by Java only, with secured listeners as well."""
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(jvm_broker(folder, secured=secured))
        except NoKafkaError as error:
            _do_without(str(error))
        yield broker


def _do_without(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is no Apache Kafka: {reason}", pytrace=False)
    pytest.skip(f"no Apache Kafka: {reason}; {ADDRESS} may name one")

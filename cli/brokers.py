"""The abilities of the broker behind an address, and the publisher of the log to it."""

import logging

from cli.connections import Addresses
from cli.sandbox.kafka import SANDBOX_CLUSTER
from contracts.topics import IMPORT_EVENTS
from messaging.clocks import Clock
from messaging.connection import KafkaConnection
from messaging.features import broker_features, no_transactions
from messaging.publisher import TransactionalPublisher
from worker.relay.mismatch import GROUP as RELAY

logger = logging.getLogger(__name__)


async def is_sandbox(kafka: KafkaConnection) -> bool:
    """Return whether the broker belongs to a sandbox. Raises aiokafka.errors.KafkaError."""
    return (await broker_features(kafka)).cluster_id.startswith(SANDBOX_CLUSTER)


async def with_known_features(addresses: Addresses) -> Addresses:
    """Return the addresses, without transactions if the broker belongs to a sandbox.

    So a command that is given the sandbox's address needs no further setting.

    Raises:
        KafkaAccessError: the broker does not know transactions, and the settings claim it does.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    if not addresses.kafka_transactions:
        return addresses
    found = await broker_features(addresses.kafka)
    if found.cluster_id.startswith(SANDBOX_CLUSTER):
        logger.info(
            "Kafka at %s is the broker of a sandbox: it has no transactions", addresses.kafka
        )
        return addresses._replace(kafka_transactions=False)
    if not found.knows_transactions:
        raise no_transactions(addresses.kafka)
    return addresses


def relay_publisher(
    addresses: Addresses, database_clock: Clock | None = None
) -> TransactionalPublisher:
    """The publisher of the log to `IMPORT_EVENTS`."""
    return TransactionalPublisher(
        addresses.kafka, IMPORT_EVENTS, RELAY, addresses.kafka_transactions, database_clock
    )

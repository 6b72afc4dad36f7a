"""The abilities of the broker behind an address, as far as the settings leave them out."""

import logging

from cli.connections import Addresses
from cli.sandbox.kafka import SANDBOX_CLUSTER
from messaging.connection import KafkaConnection
from messaging.features import broker_features, no_transactions

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

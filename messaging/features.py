"""The abilities of a broker, read through one short connection."""

import asyncio
from typing import NamedTuple

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from messaging.access import bootstrap_servers, explaining
from messaging.connection import PREFIX, KafkaAccessError, KafkaConnection

TRANSACTIONS_VARIABLE = f"{PREFIX}TRANSACTIONS"

_ANSWER_MS = 3_000
_TRANSACTION_REQUESTS = frozenset({22, 24, 25, 26, 28})
"""InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit."""


class BrokerFeatures(NamedTuple):
    """A broker that has answered."""

    cluster_id: str
    knows_transactions: bool
    """Whether it knows the requests of transactions; it may still refuse them."""


async def broker_features(kafka: KafkaConnection) -> BrokerFeatures:
    """Ask the first bootstrap server that answers.

    Raises:
        aiokafka.errors.KafkaError: no server answers; see `messaging.access.explaining`.
    """
    async with explaining(kafka):
        failed: Exception | None = None
        for host, port in bootstrap_servers(kafka):
            try:
                return await _features(kafka, host, port)
            except (KafkaError, OSError, TimeoutError) as error:
                failed = error
        raise KafkaConnectionError from failed


def no_transactions(kafka: KafkaConnection) -> KafkaAccessError:
    """The error for a broker that does not know transactions, although the settings claim it."""
    return KafkaAccessError(
        f"Kafka at {kafka} has no transactions. Check {TRANSACTIONS_VARIABLE}: set it to false; "
        "the relay then publishes without them, and its last batch may appear twice after a "
        "leader was cut off.",
        TRANSACTIONS_VARIABLE,
    )


async def _features(kafka: KafkaConnection, host: str, port: int) -> BrokerFeatures:
    arguments = kafka.arguments()
    del arguments["bootstrap_servers"]
    async with asyncio.timeout(_ANSWER_MS / 1000):
        opened = await create_conn(host, port, request_timeout_ms=_ANSWER_MS, **arguments)
    try:
        answer = await opened.send(MetadataRequest([]))
        known = frozenset(opened._versions)  # noqa: SLF001 (aiokafka has no public way)
        return BrokerFeatures(str(answer.cluster_id), known >= _TRANSACTION_REQUESTS)
    finally:
        opened.close()

"""Consuming erasure requests: each Kafka record ends as an answer or as a dead letter."""

import logging
from functools import partial

from aiokafka import AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.answer import ErasureIdTakenError, answer_request, refuse_request
from contracts.messages import (
    ErasureIds,
    InvalidErasureError,
    SpeakerErasureRequested,
    UnreadableRequestError,
    decode_erasure,
)
from contracts.topics import ERASURE_REQUESTS
from eventstore.errors import is_database_outage, is_not_migrated_yet
from messaging.backoff import retry_until_success
from messaging.batch_consumer import Membership
from messaging.dead_letters.records import dead_letter
from messaging.errors import is_kafka_outage
from messaging.keyed_consumer import KeyedConsumer, KeyedTask
from messaging.raw_record import RawRecord

logger = logging.getLogger(__name__)

GROUP = "spreaview-erasures"

_IN_FLIGHT = 100
_IN_FLIGHT_BYTES = 8 * 1024 * 1024


def erasure_consumer(
    engine: AsyncEngine, dead_letters: AIOKafkaProducer, *, session_seconds: float
) -> KeyedConsumer:
    """Consume erasure requests: one at a time, since each one locks the log.

    The offset of a record is committed only after its answer is stored, or the record is in the
    dead-letter topic.
    """
    reader = ErasureReader(engine, dead_letters)
    return KeyedConsumer(
        ERASURE_REQUESTS,
        reader.task_of,
        membership=Membership(GROUP, session_seconds),
        concurrency=1,
        in_flight=_IN_FLIGHT,
        in_flight_bytes=_IN_FLIGHT_BYTES,
    )


class ErasureReader:
    """Turns a record into the task that answers it."""

    def __init__(self, engine: AsyncEngine, dead_letters: AIOKafkaProducer) -> None:
        self._engine = engine
        self._dead_letters = dead_letters

    def task_of(self, record: RawRecord) -> KeyedTask:
        """Return the task for a record: erase or refuse, or dead-letter it."""
        try:
            request = decode_erasure(record.value or b"")
        except InvalidErasureError as invalid:
            refuse = partial(self._refuse, invalid.ids, invalid.reason, record)
            return KeyedTask(invalid.ids.organization_id, refuse)
        except UnreadableRequestError as unreadable:
            to_dead_letters = partial(self._dead_letter, record, str(unreadable))
            return KeyedTask((record.topic, record.partition), to_dead_letters)
        return KeyedTask(request.organization_id, partial(self._answer, request, record))

    async def _answer(self, request: SpeakerErasureRequested, record: RawRecord) -> None:
        try:
            await retry_until_success(
                "PostgreSQL",
                lambda: answer_request(self._engine, request),
                on=_is_temporary,
            )
        except ErasureIdTakenError as taken:
            await self._dead_letter(record, str(taken))

    async def _refuse(self, ids: ErasureIds, reason: str, record: RawRecord) -> None:
        try:
            await retry_until_success(
                "PostgreSQL",
                lambda: refuse_request(self._engine, ids, reason),
                on=_is_temporary,
            )
        except ErasureIdTakenError as taken:
            await self._dead_letter(record, str(taken))

    async def _dead_letter(self, record: RawRecord, reason: str) -> None:
        await retry_until_success(
            "dead letters",
            lambda: dead_letter(self._dead_letters, record, reason),
            on=is_kafka_outage,
        )
        logger.warning(
            "%s/%d@%d is among the dead letters: %s",
            *(record.topic, record.partition, record.offset, reason),
        )


def _is_temporary(error: BaseException) -> bool:
    return is_database_outage(error) or is_not_migrated_yet(error)

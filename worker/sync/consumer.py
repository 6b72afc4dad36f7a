"""From Kafka records to handled requests: every record is ended or dead-lettered, none is lost."""

import logging
import re
import time
from datetime import UTC, datetime
from functools import partial

from aiokafka import AIOKafkaProducer

from contracts.messages import (
    InvalidRequestError,
    RequestIds,
    SyncRequested,
    UnreadableRequestError,
    decode_request,
)
from contracts.topics import SYNC_REQUESTS
from eventstore.errors import is_database_outage, is_not_migrated_yet
from messaging.backoff import persist
from messaging.batch_consumer import Membership, RawRecord
from messaging.cloudevents import TRACEPARENT
from messaging.dead_letters.records import dead_letter
from messaging.errors import is_kafka_outage
from messaging.keyed_consumer import ConcurrentIntake, Job
from messaging.requests import ORDERED_AT
from worker.rules import sync_failures
from worker.sync.handle import Handler, RequestContext, RequestIdTakenError

logger = logging.getLogger(__name__)

GROUP = "spreaview-worker"

_LATEST_MS = 253_402_300_799_000
"""The last second of the calendar."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def request_intake(
    handler: Handler,
    dead_letters: AIOKafkaProducer,
    *,
    session_seconds: float,
    at_once: int,
    in_hand: int,
) -> ConcurrentIntake:
    """Takes requests: those of different SpreaView events at once, those of one in order.

    Every record that was taken has an outcome in the log or stands in the dead letters before its
    offset is committed.
    """
    requests = RequestReader(handler, dead_letters)
    return ConcurrentIntake(
        SYNC_REQUESTS,
        requests.job_of,
        membership=Membership(GROUP, session_seconds),
        at_once=at_once,
        in_hand=in_hand,
    )


class RequestReader:
    """Read a record and name the work that ends it."""

    def __init__(self, handler: Handler, dead_letters: AIOKafkaProducer) -> None:
        self._handler = handler
        self._dead_letters = dead_letters

    def job_of(self, record: RawRecord) -> Job:
        """Return the work on a record; it ends the request, or dead-letters the record."""
        envelope = _envelope(record, time.monotonic())
        try:
            request = decode_request(record.value or b"")
        except InvalidRequestError as invalid:
            refused = sync_failures.invalid_request(invalid.reason)
            refuse = partial(self._refuse, invalid.ids, refused, envelope, record)
            return Job(invalid.ids.spreaview_event_id, refuse)
        except UnreadableRequestError as unreadable:
            set_aside = partial(self._set_aside, record, str(unreadable))
            return Job((record.topic, record.partition), set_aside)
        carry_out = partial(self._carry_out, request, envelope, record)
        return Job(request.spreaview_event_id, carry_out)

    async def _carry_out(
        self, request: SyncRequested, envelope: RequestContext, record: RawRecord
    ) -> None:
        """Bring one request to its end, waiting for a database that is down."""
        try:
            await persist(
                "PostgreSQL",
                lambda: self._handler.handle(request, envelope),
                on=_is_waited_for,
            )
        except RequestIdTakenError as taken:
            await self._set_aside(record, str(taken))
        except Exception:
            logger.exception("sync %s met a fault", request.request_id)
            await self._refuse(request, sync_failures.internal_error(), envelope, record)

    async def _refuse(
        self,
        ids: RequestIds,
        refused: sync_failures.SyncFailure,
        envelope: RequestContext,
        record: RawRecord,
    ) -> None:
        try:
            await persist(
                "PostgreSQL",
                lambda: self._handler.refuse(ids, refused, envelope),
                on=_is_waited_for,
            )
        except RequestIdTakenError as taken:
            await self._set_aside(record, str(taken))

    async def _set_aside(self, record: RawRecord, reason: str) -> None:
        logger.warning(
            "%s/%d@%d goes to the dead letters: %s",
            record.topic,
            record.partition,
            record.offset,
            reason,
        )
        await persist(
            "dead letters",
            lambda: dead_letter(self._dead_letters, record, reason),
            on=is_kafka_outage,
        )


def _is_waited_for(error: BaseException) -> bool:
    return is_database_outage(error) or is_not_migrated_yet(error)


def _envelope(record: RawRecord, received: float) -> RequestContext:
    """What the record says besides its body; of headers, what is not as it should be is nothing."""
    headers = dict(record.headers)
    times = [record.timestamp]
    first_received = headers.get(ORDERED_AT) or b""  # a header's value may be null
    if first_received.isdigit() and len(first_received) <= 15:
        times.append(int(first_received))
    # A topic that takes its senders' times has any; one that is not known, or to come, is now.
    ordered_at_ms = min((ms for ms in times if 0 <= ms <= _LATEST_MS), default=_LATEST_MS)
    traceparent = (headers.get(TRACEPARENT) or b"")[:55]
    return RequestContext(
        datetime.fromtimestamp(ordered_at_ms / 1000, UTC),
        received,
        traceparent.decode() if _TRACEPARENT.fullmatch(traceparent) else None,
    )

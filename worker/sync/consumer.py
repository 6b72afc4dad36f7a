"""Consuming requests: each Kafka record ends as a run or as a dead letter."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
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
from messaging.backoff import retry_until_success
from messaging.batch_consumer import Membership
from messaging.cloudevents import TRACEPARENT
from messaging.dead_letters.records import dead_letter
from messaging.errors import is_kafka_outage
from messaging.keyed_consumer import KeyedConsumer, KeyedTask
from messaging.observer import UNOBSERVED, Observer
from messaging.raw_record import RawRecord
from messaging.requests import ORDERED_AT
from worker.rules import sync_failures
from worker.rules.sync_failures import SyncFailure
from worker.sync.end_run import RequestIdTakenError, fields_of
from worker.sync.handle import Handler, RequestContext

logger = logging.getLogger(__name__)

GROUP = "spreaview-worker"

_LATEST_MS = 253_402_300_799_000
"""The last second that `datetime` can hold."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def request_consumer(
    handler: Handler,
    dead_letters: AIOKafkaProducer,
    *,
    session_seconds: float,
    concurrency: int,
    in_flight: int,
    in_flight_bytes: int,
    observer: Observer = UNOBSERVED,
) -> KeyedConsumer:
    """Consume requests: in order within a SpreaView event, concurrently across events.

    The offset of a record is committed only after its run has an outcome in the log, or the
    record is in the dead-letter topic.
    """
    requests = RequestReader(handler, dead_letters, observer)
    return KeyedConsumer(
        SYNC_REQUESTS,
        requests.task_of,
        membership=Membership(GROUP, session_seconds),
        concurrency=concurrency,
        in_flight=in_flight,
        in_flight_bytes=in_flight_bytes,
    )


class RequestReader:
    """Turns a record into the task that ends its run."""

    def __init__(
        self,
        handler: Handler,
        dead_letters: AIOKafkaProducer,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._handler = handler
        self._dead_letters = dead_letters
        self._observer = observer

    def task_of(self, record: RawRecord) -> KeyedTask:
        """Return the task for a record: end its run, or dead-letter it."""
        context = _context(record, time.monotonic())
        try:
            request = decode_request(record.value or b"")
        except InvalidRequestError as invalid:
            ids, failure = invalid.ids, sync_failures.invalid_request(invalid.reason)
            refuse = partial(self._refuse, self._handler.refuse_record, ids, failure, record)
            return KeyedTask(ids.spreaview_event_id, self._observed(refuse, context, record, ids))
        except UnreadableRequestError as unreadable:
            to_dead_letters = partial(self._dead_letter, record, str(unreadable))
            return KeyedTask((record.topic, record.partition), to_dead_letters)
        carry_out = self._observed(
            partial(self._carry_out, request, record), context, record, request
        )
        return KeyedTask(request.spreaview_event_id, carry_out)

    def _observed(
        self,
        work: Callable[[RequestContext], Awaitable[None]],
        context: RequestContext,
        record: RawRecord,
        ids: RequestIds,
    ) -> Callable[[], Awaitable[None]]:
        """Return the work on a record, observed from start to end."""
        about = {
            "spreaview.sync_id": str(ids.request_id),
            "spreaview.event_id": str(ids.spreaview_event_id),
        }

        async def run() -> None:
            with self._observer.processing(
                record,
                group=GROUP,
                received=context.received,
                traceparent=context.traceparent,
                about=about,
            ) as traceparent:
                await work(context._replace(traceparent=traceparent))

        return run

    async def _carry_out(
        self, request: SyncRequested, record: RawRecord, context: RequestContext
    ) -> None:
        """Handle one request, waiting while the database is down."""
        try:
            await retry_until_success(
                "PostgreSQL",
                lambda: self._handler.handle(request, context),
                on=_is_temporary,
            )
        except RequestIdTakenError as taken:
            await self._dead_letter(record, str(taken))
        except Exception:
            logger.exception(
                "sync %s failed unexpectedly", request.request_id, extra=fields_of(request)
            )
            failure = sync_failures.internal_error()
            await self._refuse(self._handler.refuse, request, failure, record, context)

    async def _refuse(
        self,
        refuse: Callable[[RequestIds, SyncFailure, RequestContext], Awaitable[None]],
        ids: RequestIds,
        failure: SyncFailure,
        record: RawRecord,
        context: RequestContext,
    ) -> None:
        try:
            await retry_until_success(
                "PostgreSQL",
                lambda: refuse(ids, failure, context),
                on=_is_temporary,
            )
        except RequestIdTakenError as taken:
            await self._dead_letter(record, str(taken))

    async def _dead_letter(self, record: RawRecord, reason: str) -> None:
        await retry_until_success(
            "dead letters",
            lambda: dead_letter(self._dead_letters, record, reason),
            on=is_kafka_outage,
        )
        logger.warning(
            "%s/%d@%d is now a dead letter: %s",
            record.topic,
            record.partition,
            record.offset,
            reason,
            extra={
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "reason": reason,
            },
        )


def _is_temporary(error: BaseException) -> bool:
    return is_database_outage(error) or is_not_migrated_yet(error)


def _context(record: RawRecord, received: float) -> RequestContext:
    """Read the time stamp and the headers of a record; malformed headers are ignored."""
    headers = dict(record.headers)
    times = [record.timestamp]
    first_received = headers.get(ORDERED_AT) or b""  # a header's value may be null
    if first_received.isdigit() and len(first_received) <= 15:
        times.append(int(first_received))
    # With CreateTime, senders choose the time stamp. `Handler` caps it at the database's clock, so
    # without any plausible one the run is ordered by that.
    ordered_at_ms = min((ms for ms in times if 0 <= ms <= _LATEST_MS), default=_LATEST_MS)
    traceparent = (headers.get(TRACEPARENT) or b"")[:55]
    return RequestContext(
        datetime.fromtimestamp(ordered_at_ms / 1000, UTC),
        received,
        traceparent.decode() if _TRACEPARENT.fullmatch(traceparent) else None,
    )

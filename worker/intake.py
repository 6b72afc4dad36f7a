"""From Kafka records to handled requests: every record is ended or dead-lettered, none is lost."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaProducer
from faststream.kafka import KafkaRouter

from contracts.messages import (
    InvalidRequestError,
    RequestIds,
    SyncRequested,
    UnreadableRequestError,
    decode_request,
)
from contracts.topics import SYNC_REQUESTS
from eventstore.outage import is_database_outage
from messaging.cloudevents import TRACEPARENT
from messaging.dead_letters import dead_letter
from messaging.intake import RawRecord, subscribe
from messaging.outage import is_kafka_outage
from messaging.requests import ORDERED_AT
from messaging.waiting import persist
from worker import refusal
from worker.handle import Envelope, Handler, RequestIdTakenError

logger = logging.getLogger(__name__)

GROUP = "spreaview-worker"


class _Item(NamedTuple):
    """A record whose ids can be read."""

    record: RawRecord
    envelope: Envelope
    request: SyncRequested | InvalidRequestError


class RequestIntake:
    """Works on the requests of different SpreaView events at once, on those of one in order."""

    def __init__(
        self, handler: Handler, dead_letters: AIOKafkaProducer, max_concurrent: int
    ) -> None:
        self._handler = handler
        self._dead_letters = dead_letters
        self._slots = asyncio.Semaphore(max_concurrent)

    def router(self, max_records: int) -> KafkaRouter:
        """The FastStream router to be included in the application's broker."""
        router = KafkaRouter()
        subscribe(
            router,
            SYNC_REQUESTS,
            group_id=GROUP,
            max_records=max_records,
            handle=self.take,
        )
        return router

    async def take(self, records: Sequence[RawRecord]) -> None:
        """Return when every record has an outcome in the log or stands in the dead letters."""
        received = time.monotonic()
        readable: dict[UUID, list[_Item]] = defaultdict(list)
        for record in records:
            envelope = _envelope(record, received)
            try:
                request = decode_request(record.value or b"")
                readable[request.spreaview_event_id].append(_Item(record, envelope, request))
            except InvalidRequestError as invalid:
                event_id = invalid.ids.spreaview_event_id
                readable[event_id].append(_Item(record, envelope, invalid))
            except UnreadableRequestError as unreadable:
                await self._set_aside(record, str(unreadable))
        async with asyncio.TaskGroup() as group:
            for in_order in readable.values():
                group.create_task(self._work_through(in_order))

    async def _work_through(self, in_order: Sequence["_Item"]) -> None:
        async with self._slots:
            for item in in_order:
                await self._end(item)

    async def _end(self, item: "_Item") -> None:
        """Bring one request to its end, waiting for a database that is down."""
        record, envelope, request = item
        try:
            if isinstance(request, InvalidRequestError):
                refused = refusal.invalid_request(request.reason)
                await self._refuse(request.ids, refused, envelope)
            else:
                await persist(
                    f"sync {request.request_id}",
                    lambda: self._handler.handle(request, envelope),
                    on=is_database_outage,
                )
        except RequestIdTakenError as taken:
            await self._set_aside(record, str(taken))
        except Exception:
            ids = request.ids if isinstance(request, InvalidRequestError) else request
            logger.exception("sync %s met a fault", ids.request_id)
            await self._refuse(ids, refusal.internal_error(), envelope)

    async def _refuse(self, ids: RequestIds, refused: refusal.Refusal, envelope: Envelope) -> None:
        await persist(
            f"sync {ids.request_id}",
            lambda: self._handler.refuse(ids, refused, envelope),
            on=is_database_outage,
        )

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


def _envelope(record: RawRecord, received: float) -> Envelope:
    headers = dict(record.headers)
    times = [record.timestamp]
    first_received = headers.get(ORDERED_AT, b"")
    if first_received.isdigit() and len(first_received) <= 15:
        times.append(int(first_received))
    traceparent = headers.get(TRACEPARENT, b"").decode("ascii", errors="replace")
    ordered_at = datetime.fromtimestamp(min(times) / 1000, UTC)
    return Envelope(ordered_at, received, traceparent[:55] or None)

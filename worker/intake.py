"""From Kafka records to handled requests: every record is ended or dead-lettered, none is lost."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

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
from messaging.intake import RawRecord, subscribe
from messaging.outage import is_kafka_outage
from messaging.requests import ORDERED_AT, dead_letter
from messaging.waiting import persist
from worker import refusal
from worker.handle import Envelope, Handler, RequestIdTakenError

logger = logging.getLogger(__name__)

GROUP = "spreaview-worker"


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
        readable: dict[object, list[tuple[RawRecord, SyncRequested | InvalidRequestError]]]
        readable = defaultdict(list)
        for record in records:
            try:
                request = decode_request(record.value or b"")
                readable[request.spreaview_event_id].append((record, request))
            except InvalidRequestError as invalid:
                readable[invalid.ids.spreaview_event_id].append((record, invalid))
            except UnreadableRequestError as unreadable:
                await self._set_aside(record, str(unreadable))
        async with asyncio.TaskGroup() as group:
            for in_order in readable.values():
                group.create_task(self._work_through(in_order))

    async def _work_through(
        self, in_order: Sequence[tuple[RawRecord, SyncRequested | InvalidRequestError]]
    ) -> None:
        async with self._slots:
            for record, request in in_order:
                await self._end(record, request)

    async def _end(self, record: RawRecord, request: SyncRequested | InvalidRequestError) -> None:
        """Bring one request to its end, waiting for a database that is down."""
        envelope = _envelope(record)
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


def _envelope(record: RawRecord) -> Envelope:
    headers = dict(record.headers)
    times = [record.timestamp]
    first_received = headers.get(ORDERED_AT, b"")
    if first_received.isdigit() and len(first_received) <= 15:
        times.append(int(first_received))
    traceparent = headers.get(TRACEPARENT, b"").decode("ascii", errors="replace")
    return Envelope(datetime.fromtimestamp(min(times) / 1000, UTC), traceparent[:55] or None)

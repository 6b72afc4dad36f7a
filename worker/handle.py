"""Handling one request: fetch, decide, append. The straight line of the write side."""

import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts import identity
from contracts.events import ImportEvent, SyncFailed, SyncStarted
from contracts.messages import RequestIds, SyncRequested, mask_api_id, parse_api_id
from eventstore.log import EventLog, LogIdentity
from eventstore.model import AlreadyRecordedError, NewEvent, StreamMovedError
from messaging.cloudevents import TRACEPARENT
from worker import refusal
from worker.decide import decide
from worker.document import parse_document
from worker.normalise import normalise
from worker.placing import Order
from worker.refusal import Refusal
from worker.sessionize import Fetched, Sessionize
from worker.state import State, fold
from worker.text import clean
from worker.window import Bounds, InvalidWindowError, bounds_of, zone_of

logger = logging.getLogger(__name__)

_FINGERPRINT_HEX_DIGITS = 32


class Envelope(NamedTuple):
    """What the transport says about a request."""

    received_at: datetime
    """The smallest of the broker's time stamp and the one a dead letter was first given."""
    traceparent: str | None


@dataclass(slots=True)
class _Run:
    """What the events of one run have in common."""

    ids: RequestIds
    ordered_at: datetime
    """Fixed by `SyncStarted`: a resumed run takes its place in the order from there."""
    metadata: Mapping[str, str]


class RequestIdTakenError(ValueError):
    """The request id names a run of another SpreaView event: this request cannot have one."""


class Handler:
    """Ends every request whose ids are readable, exactly once in the log.

    Safe to call again with the same request at any time: a run that has an outcome is left alone,
    one that was cut off is resumed. Errors of the database pass through; nothing is half done.
    """

    def __init__(
        self,
        log: EventLog,
        sessionize: Sessionize,
        log_identity: LogIdentity,
        worker_version: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._sessionize = sessionize
        self._fingerprint_key = log_identity.fingerprint_key
        self._worker_version = worker_version
        self._clock = clock

    async def handle(self, request: SyncRequested, envelope: Envelope) -> None:
        """Run one sync to its end.

        Raises:
            RequestIdTakenError: the request belongs in the dead letters.
        """
        now, is_over = await self._log.clock_and_outcome(request.request_id)
        if is_over:
            logger.info("sync %s has an outcome already", request.request_id)
            return
        began = time.monotonic()
        run = _Run(request, min(envelope.received_at, now), _metadata(envelope))
        try:
            api_id, bounds = _validate(request)
            state = await self._start(request, run, api_id)
        except Refusal as refused:
            await self._fail(run, refused)
        except AlreadyRecordedError:
            logger.info("sync %s was ended by another worker", request.request_id)
        else:
            await self._finish(request, run, state, api_id, bounds, began)

    async def refuse(self, ids: RequestIds, refused: Refusal, envelope: Envelope) -> None:
        """End a request that cannot be carried out, from its ids alone."""
        now, is_over = await self._log.clock_and_outcome(ids.request_id)
        if not is_over:
            run = _Run(ids, min(envelope.received_at, now), _metadata(envelope))
            await self._fail(run, refused)

    async def _start(self, request: SyncRequested, run: "_Run", api_id: str) -> State:
        """Append `SyncStarted` unless it is there; the state that includes it.

        Raises:
            Refusal: superseded, or the event belongs to another organization.
            AlreadyRecordedError: the run has got an outcome meanwhile.
        """
        while True:
            state = await self._load(request.spreaview_event_id)
            started = state.open_runs.get(request.request_id)
            run.ordered_at = started.ordered_at if started else run.ordered_at
            _check_turn(state, request, run.ordered_at)
            if started:
                logger.info("sync %s is resumed", request.request_id)
                return state
            event = self._started(request, run.ordered_at, api_id)
            try:
                await self._log.append(
                    request.spreaview_event_id,
                    state.version,
                    [NewEvent(identity.message_id(request.request_id, 0), event)],
                    metadata=run.metadata,
                )
            except StreamMovedError:
                continue
            except AlreadyRecordedError as error:
                await self._whose(request, error)
                continue
            return fold([event], state)

    async def _whose(self, request: SyncRequested, error: AlreadyRecordedError) -> None:
        """Somebody appended our `SyncStarted`: another worker to our stream, or to another's?"""
        _, is_over = await self._log.clock_and_outcome(request.request_id)
        if is_over:
            raise error
        state = await self._load(request.spreaview_event_id)
        if request.request_id not in state.open_runs:
            raise RequestIdTakenError(
                "request_id is that of a sync of another SpreaView event"
            ) from error

    def _started(self, request: SyncRequested, ordered_at: datetime, api_id: str) -> SyncStarted:
        fingerprint = hmac.digest(self._fingerprint_key, api_id.encode(), "sha256").hex()
        return SyncStarted(
            sync_id=request.request_id,
            organization_id=request.organization_id,
            spreaview_event_id=request.spreaview_event_id,
            ordered_at=ordered_at,
            requested_at=request.requested_at,
            requested_by=clean(request.requested_by) if request.requested_by else None,
            window=request.window,
            force=bool(request.force),
            allow_removals=request.allow_removals,
            api_id_masked=mask_api_id(api_id),
            api_id_fingerprint=fingerprint[:_FINGERPRINT_HEX_DIGITS],
            worker_version=self._worker_version,
        )

    async def _finish(
        self,
        request: SyncRequested,
        run: "_Run",
        state: State,
        api_id: str,
        bounds: Bounds,
        began: float,
    ) -> None:
        """Fetch, decide and append, again if another run of the event was first."""
        order = Order(
            sync_id=request.request_id,
            organization_id=request.organization_id,
            spreaview_event_id=request.spreaview_event_id,
            bounds=bounds,
            ordered_at=run.ordered_at,
            force=bool(request.force),
        )
        fetched: Fetched | None = None
        while True:
            completed_before_fetch = state.completed_runs
            try:
                _check_turn(state, request, run.ordered_at)
                fetched = fetched or await self._sessionize.fetch(api_id)
                document = parse_document(fetched.body)
                schedule = normalise(
                    document,
                    organization_id=request.organization_id,
                    spreaview_event_id=request.spreaview_event_id,
                    zone=zone_of(request.window),
                )
                duration_ms = round((time.monotonic() - began) * 1000)
                outcome = decide(state, schedule, order, fetched.source, duration_ms)
            except Refusal as refused:
                outcome = [_failed(run, refused, fetched)]
            try:
                await self._append_outcome(run, state.version, outcome, fetched)
            except StreamMovedError:
                state = await self._load(request.spreaview_event_id)
                if state.completed_runs != completed_before_fetch:
                    fetched = None  # what was fetched before may be older than what is imported
                continue
            except AlreadyRecordedError:
                logger.info("sync %s was ended by another worker", request.request_id)
            return

    async def _fail(self, run: "_Run", refused: Refusal) -> None:
        """Append `SyncFailed` at whatever version the stream is."""
        while True:
            version = await self._log.stream_version(run.ids.spreaview_event_id)
            try:
                await self._append_outcome(run, version, [_failed(run, refused, None)], None)
            except StreamMovedError:
                continue
            except AlreadyRecordedError:
                logger.info("sync %s was ended by another worker", run.ids.request_id)
            return

    async def _append_outcome(
        self,
        run: "_Run",
        expected_version: int,
        outcome: Sequence[ImportEvent],
        fetched: Fetched | None,
    ) -> None:
        """The events of an outcome in one transaction; the last is the terminal one."""
        sync_id = run.ids.request_id
        last = len(outcome)
        events = [
            NewEvent(
                identity.message_id(sync_id, identity.OUTCOME if ordinal == last else ordinal),
                event,
            )
            for ordinal, event in enumerate(outcome, start=1)
        ]
        await self._log.append(
            run.ids.spreaview_event_id,
            expected_version,
            events,
            metadata=run.metadata,
            inbox=sync_id,
            source=fetched.document if fetched else None,
        )
        terminal = outcome[-1]
        if isinstance(terminal, SyncFailed):
            logger.warning("sync %s failed: %s: %s", sync_id, terminal.code, terminal.message)
        else:
            logger.info("sync %s completed with %d events", sync_id, last)

    async def _load(self, spreaview_event_id: UUID) -> State:
        state = State()
        async for recorded in self._log.read_stream(spreaview_event_id):
            fold([recorded.event], state)
        return state


def _validate(request: SyncRequested) -> tuple[str, Bounds]:
    """The API ID and the bounds of the window. Raises `Refusal`, which names the field."""
    api_id = parse_api_id(request.sessionize_api_id)
    if api_id is None:
        raise refusal.invalid_api_id()
    try:
        return api_id, bounds_of(request.window)
    except InvalidWindowError as error:
        raise refusal.invalid_request(str(error)) from error


def _check_turn(state: State, request: SyncRequested, ordered_at: datetime) -> None:
    """Latest wins; and an event belongs to the organization that first completed a sync of it."""
    last = state.last_completed_ordered_at
    if last is not None and ordered_at < last:
        raise refusal.superseded()
    if state.organization_id not in (None, request.organization_id):
        raise refusal.wrong_organization()


def _failed(run: _Run, refused: Refusal, fetched: Fetched | None) -> SyncFailed:
    return SyncFailed(
        sync_id=run.ids.request_id,
        organization_id=run.ids.organization_id,
        spreaview_event_id=run.ids.spreaview_event_id,
        ordered_at=run.ordered_at,
        code=refused.code,
        message=refused.message,
        remedy=refused.remedy,
        retryable=refused.retryable,
        http_status=refused.http_status,
        source=fetched.source if fetched else None,
    )


def _metadata(envelope: Envelope) -> dict[str, str]:
    return {TRACEPARENT: envelope.traceparent} if envelope.traceparent else {}

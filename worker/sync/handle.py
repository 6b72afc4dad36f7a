"""Handling one request: start, judge, append. The straight line of the write side."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from contracts import identity
from contracts.events import SyncFailed, SyncStarted
from contracts.messages import RequestIds, SyncRequested, mask_api_id
from eventstore.log import LogIdentity
from eventstore.model import (
    AlreadyRecordedError,
    Commit,
    KnownErasures,
    NewEvent,
    Snapshot,
    StreamMovedError,
)
from messaging.cloudevents import TRACEPARENT
from worker.rules.command import CheckedRequest, check_request, check_turn
from worker.rules.state import State, fold
from worker.rules.sync_failures import SyncFailure
from worker.rules.text import clean
from worker.sync.ports import ScheduleSource, SyncLog
from worker.sync.run import RunOutcome, decide_run, failed
from worker.sync.state_snapshots import load_state, snapshot_of

logger = logging.getLogger(__name__)


class RequestContext(NamedTuple):
    """What the transport says about a request."""

    ordered_at: datetime
    """The smallest of the broker's time stamp and the one that a dead letter was first given."""
    received: float
    """When we had it in hand, by the monotonic clock."""
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

    def __init__(self) -> None:
        super().__init__("request_id is that of a sync of another SpreaView event")


class Handler:
    """Ends every request whose ids are readable, exactly once in the log.

    Safe to call again with the same request at any time: a run that has an outcome is left alone,
    one that was cut off is resumed. Errors of the database pass through; nothing is half done.

    Args:
        snapshot_events: so many events of a stream beyond its snapshot make a new one.
    """

    def __init__(
        self,
        log: SyncLog,
        sessionize: ScheduleSource,
        log_identity: LogIdentity,
        worker_version: str,
        *,
        snapshot_events: int,
    ) -> None:
        self._log = log
        self._sessionize = sessionize
        self._fingerprint_key = log_identity.fingerprint_key
        self._worker_version = worker_version
        self._snapshot_events = snapshot_events

    async def handle(self, request: SyncRequested, envelope: RequestContext) -> None:
        """Run one sync to its end.

        Raises:
            RequestIdTakenError: the request belongs in the dead letters.
        """
        run = await self._open(request, envelope)
        if run is None:
            return
        try:
            checked = check_request(request, self._fingerprint_key)
            state = await self._start(checked, run)
        except SyncFailure as refused:
            await self._fail(run, refused)
        except AlreadyRecordedError as error:
            await self._ended_elsewhere(run, error)
        else:
            await self._finish(checked, run, state, envelope.received)

    async def refuse(self, ids: RequestIds, refused: SyncFailure, envelope: RequestContext) -> None:
        """End a request that cannot be carried out, from its ids alone. Raises as `handle`."""
        run = await self._open(ids, envelope)
        if run is not None:
            await self._fail(run, refused)

    async def _open(self, ids: RequestIds, envelope: RequestContext) -> _Run | None:
        """The run to work on, or None if it is over.

        Raises:
            RequestIdTakenError: it is a run of another event, under way or over.
        """
        found = await self._log.clock_and_run(ids.request_id)
        if {found.begun_in, found.ended_in} - {None, ids.spreaview_event_id}:
            raise RequestIdTakenError
        if found.ended_in is not None:
            logger.info("sync %s has an outcome already", ids.request_id)
            return None
        metadata = {TRACEPARENT: envelope.traceparent} if envelope.traceparent else {}
        return _Run(ids, min(envelope.ordered_at, found.now), metadata)

    async def _start(self, checked: CheckedRequest, run: _Run) -> State:
        """Append `SyncStarted` unless it is there; the state that includes it.

        Raises:
            Refusal: superseded, or the event belongs to another organization.
            AlreadyRecordedError: the run has got an outcome meanwhile.
        """
        request = checked.request
        while True:
            state = await load_state(self._log, request.spreaview_event_id)
            started = state.open_runs.get(request.request_id)
            run.ordered_at = started.ordered_at if started else run.ordered_at
            check_turn(state, request, run.ordered_at)
            if started:
                logger.info("sync %s is resumed", request.request_id)
                return state
            event = await self._started(checked, run.ordered_at)
            try:
                await self._log.append(
                    Commit(
                        request.spreaview_event_id,
                        state.version,
                        [NewEvent(identity.message_id(request.request_id, 0), event)],
                        metadata=run.metadata,
                    )
                )
            except StreamMovedError:
                continue
            except AlreadyRecordedError as error:
                # Somebody appended our `SyncStarted`: another worker, or a run of another event.
                found = await self._log.clock_and_run(request.request_id)
                if found.begun_in is None or found.ended_in is not None:
                    raise
                if found.begun_in != request.spreaview_event_id:
                    raise RequestIdTakenError from error
                continue
            return fold([event], state)

    async def _ended_elsewhere(self, run: _Run, error: AlreadyRecordedError) -> None:
        """Believe that somebody else has ended our run if the log has its outcome in our stream."""
        found = await self._log.clock_and_run(run.ids.request_id)
        if found.ended_in is None:
            raise error
        if found.ended_in != run.ids.spreaview_event_id:
            raise RequestIdTakenError from error
        logger.info("sync %s was ended by another worker", run.ids.request_id)

    async def _started(self, checked: CheckedRequest, ordered_at: datetime) -> SyncStarted:
        request = checked.request
        by = clean(request.requested_by) if request.requested_by else None
        if by is not None:
            subject = identity.requester_subject(request.organization_id, by)
            if subject in await self._log.erased_speakers(request.organization_id):
                by = None  # who asked to be forgotten may go on asking for syncs
        return SyncStarted(
            sync_id=request.request_id,
            organization_id=request.organization_id,
            spreaview_event_id=request.spreaview_event_id,
            ordered_at=ordered_at,
            requested_at=request.requested_at,
            requested_by=by,
            window=request.window,
            force=bool(request.force),
            allow_removals=request.allow_removals,
            api_id_masked=mask_api_id(checked.api_id),
            api_id_fingerprint=checked.api_id_fingerprint,
            worker_version=self._worker_version,
        )

    async def _finish(
        self, checked: CheckedRequest, run: _Run, state: State, received: float
    ) -> None:
        """Judge and append, again if another run of the event was first."""
        began = time.monotonic()
        judgement = RunOutcome([], None)
        organization_id = run.ids.organization_id
        while True:
            erased = await self._log.erased_speakers(organization_id)
            judgement = await decide_run(
                self._sessionize,
                state,
                checked,
                ordered_at=run.ordered_at,
                began=began,
                received=received,
                erased=erased,
                fetched=judgement.fetched,
            )
            version, completed_before = state.version, state.completed_runs
            snapshot = await self._snapshot_after(state, judgement)
            try:
                await self._append_outcome(
                    run,
                    version,
                    judgement,
                    snapshot=snapshot,
                    erasures=KnownErasures(organization_id, erased),
                )
            except StreamMovedError:
                state = await load_state(self._log, run.ids.spreaview_event_id)
                if state.completed_runs != completed_before:
                    # What was fetched before may be older than what is imported now.
                    judgement, received = RunOutcome([], None), time.monotonic()
                continue
            except AlreadyRecordedError as error:
                await self._ended_elsewhere(run, error)
            return

    async def _snapshot_after(self, state: State, judgement: RunOutcome) -> Snapshot | None:
        """What the outcome makes of the state, if so much has happened that it is worth keeping.

        The state is the outcome's afterwards: whoever decides again loads it again.
        """
        beyond = state.version + len(judgement.outcome) - state.snapshot_version
        if beyond < self._snapshot_events:
            return None
        fold(judgement.outcome, state)
        return await asyncio.to_thread(snapshot_of, state)

    async def _fail(self, run: _Run, refused: SyncFailure) -> None:
        """Append `SyncFailed` at whatever version the stream is."""
        judgement = RunOutcome([failed(run.ids, run.ordered_at, refused)], None)
        while True:
            version = await self._log.stream_version(run.ids.spreaview_event_id)
            try:
                await self._append_outcome(run, version, judgement)
            except StreamMovedError:
                continue
            except AlreadyRecordedError as error:
                await self._ended_elsewhere(run, error)
            return

    async def _append_outcome(
        self,
        run: _Run,
        expected_version: int,
        judgement: RunOutcome,
        *,
        snapshot: Snapshot | None = None,
        erasures: KnownErasures | None = None,
    ) -> None:
        """The events of an outcome in one transaction; the last is the terminal one."""
        sync_id, outcome, fetched = run.ids.request_id, judgement.outcome, judgement.fetched
        last = len(outcome)
        events = [
            NewEvent(
                identity.message_id(sync_id, identity.OUTCOME if ordinal == last else ordinal),
                event,
            )
            for ordinal, event in enumerate(outcome, start=1)
        ]
        await self._log.append(
            Commit(
                run.ids.spreaview_event_id,
                expected_version,
                events,
                metadata=run.metadata,
                inbox=sync_id,
                source=fetched.document if fetched and judgement.may_be_kept else None,
                snapshot=snapshot,
                erasures=erasures,
            )
        )
        terminal = outcome[-1]
        if isinstance(terminal, SyncFailed):
            logger.warning("sync %s failed: %s: %s", sync_id, terminal.code, terminal.message)
        else:
            logger.info("sync %s completed with %d events", sync_id, last)

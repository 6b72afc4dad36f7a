"""Handling one request: load, decide, append, until the run has its outcome in the log."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import NamedTuple

from contracts import identity
from contracts.events import SyncCompleted, SyncFailed, SyncStarted
from contracts.messages import RequestIds, SyncRequested, mask_api_id
from contracts.wording import counted
from eventstore.log import LogIdentity, Opening, RunRecord
from eventstore.model import (
    AlreadyRecordedError,
    Commit,
    Snapshot,
    StreamMovedError,
)
from messaging.cloudevents import TRACEPARENT
from messaging.observer import UNOBSERVED, Observer
from worker.rules import sync_failures
from worker.rules.command import CheckedRequest, check_request, check_turn
from worker.rules.state import State, fold
from worker.rules.sync_failures import SyncFailure
from worker.rules.text import clean_title
from worker.sync.commits import (
    ActiveRun,
    failure_commit,
    open_run,
    outcome_commit,
    start_commit,
)
from worker.sync.end_run import (
    RequestIdTakenError,
    check_stream,
    end_run,
    fields_of,
    find_run,
)
from worker.sync.first_request import list_differences
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.ports import ScheduleSource, SyncLog
from worker.sync.run import RunOutcome, decide_run
from worker.sync.state_snapshots import snapshot_of, state_at

logger = logging.getLogger(__name__)

_PART_OF_OUTCOME = "a part of its outcome is in the log, and the outcome is not"
_UNEXPLAINED = "the log refuses its events, although neither stream nor erasures have changed"
_PROMPT_SECONDS = 1.0
"""A request that has waited longer may do so because nothing can be appended. It is fetched for
only after its start is in the log, so that each try does not cost a fetch."""
_MOST_UNEXPLAINED = 3
"""Refusals without a visible reason: an erasure may be lifted before it is looked for."""


class RequestContext(NamedTuple):
    """Facts about a request that are in its Kafka record and not in its body."""

    ordered_at: datetime
    """Time stamp of the record, or of its first dead letter if that is earlier."""
    received: float
    """When this process received it, by the monotonic clock."""
    traceparent: str | None


class Handler:
    """Ends every request whose ids are readable, exactly once in the log.

    Safe to call again with the same request at any time: a run that has an outcome is left alone,
    and an interrupted one is resumed. Errors of the database pass through; nothing is half done.

    Args:
        snapshot_events: take a new snapshot after this many events of a stream.
    """

    def __init__(
        self,
        log: SyncLog,
        source: ScheduleSource,
        log_identity: LogIdentity,
        worker_version: str,
        *,
        snapshot_events: int,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._log = log
        self._observer = observer
        self._source = source
        self._fingerprint_key = log_identity.fingerprint_key
        self._worker_version = worker_version
        self._snapshot_events = snapshot_events

    async def handle(self, request: SyncRequested, context: RequestContext) -> None:
        """Run one sync to its end.

        Raises:
            RequestIdTakenError: dead-letter the request.
        """
        try:
            checked = check_request(request, self._fingerprint_key)
        except SyncFailure as failure:
            await self.refuse_record(request, failure, context)
            return
        opening = await self._opening(request)
        check_stream(opening.run, request)
        run = _active_run(request, context, opening.run)
        if run is None:
            return
        outcome = await self._append_until_ended(
            run,
            state=await self._load(run, opening),
            load=partial(self._load, run),
            decide=partial(self._next_commit, run, checked),
        )
        if outcome is not None and isinstance(outcome.events[-1].event, SyncCompleted):
            for earlier in run.earlier_open_runs:
                await end_run(self._log, open_run(earlier), sync_failures.superseded())

    async def refuse(self, ids: RequestIds, failure: SyncFailure, context: RequestContext) -> None:
        """End a request that cannot be carried out, from its ids alone. Raises as `handle`."""
        run = _active_run(ids, context, await find_run(self._log, ids))
        if run is not None:
            await end_run(self._log, run, failure)

    async def refuse_record(
        self, ids: RequestIds, failure: SyncFailure, context: RequestContext
    ) -> None:
        """As `refuse`, for a fault of the record itself.

        A run that has begun began with another record, and is not ended by this one.
        """
        found = await find_run(self._log, ids)
        if found.begun_in is not None and found.ended_in is None:
            raise RequestIdTakenError(f"that has begun, and this request is faulty: {failure}")
        await self.refuse(ids, failure, context)

    async def _opening(self, ids: RequestIds) -> Opening:
        return await self._log.opening(
            ids.request_id, ids.spreaview_event_id, ids.organization_id, FOLD_VERSION
        )

    async def _load(self, run: ActiveRun, opening: Opening | None = None) -> State:
        """Load the state, and the erased persons into `run`."""
        with self._observer.phase("load"):
            if opening is None:
                opening = await self._opening(run.ids)
            run.erased = opening.erased
            return await state_at(self._log, run.ids.spreaview_event_id, opening)

    async def _append_until_ended(
        self,
        run: ActiveRun,
        *,
        state: State,
        load: Callable[[], Awaitable[State]],
        decide: Callable[[State], Awaitable[Commit]],
    ) -> Commit | None:
        """Decide and append; load the state and decide again whenever another writer was first.

        Returns the outcome; None if the run ended in another way.

        `decide` may fold the commit's events into `state`: if the append succeeds, the next
        commit is decided on that, otherwise it is loaded again. Only the outcome of a run
        has an inbox entry, so that commit is the last.
        """
        unexplained = 0
        while True:
            commit = await decide(state)
            try:
                with self._observer.phase("append"):
                    await self._log.append(commit)
            except StreamMovedError:
                erased = run.erased
                state = await load()
                if (state.version, run.erased) == (commit.expected_version, erased):
                    unexplained += 1
                if unexplained > _MOST_UNEXPLAINED:
                    await self._give_up(run)
                    return None
            except AlreadyRecordedError:
                # Another worker appended an event of this run: its start, or its outcome.
                found = await find_run(self._log, run.ids)
                if found.ended_in is not None:
                    logger.info(
                        "sync %s was ended by another worker",
                        run.ids.request_id,
                        extra=fields_of(run.ids),
                    )
                    return None
                if commit.inbox is not None:
                    await end_run(self._log, run, sync_failures.internal_error(_PART_OF_OUTCOME))
                    return None
                if found.begun_in is None:
                    raise
                logger.info(
                    "sync %s is resumed: another worker started it",
                    run.ids.request_id,
                    extra=fields_of(run.ids),
                )
                state = await load()
            else:
                if commit.inbox is not None:
                    _log_outcome(run.ids, commit)
                    return commit

    async def _give_up(self, run: ActiveRun) -> None:
        await end_run(self._log, run, sync_failures.internal_error(_UNEXPLAINED))

    async def _next_commit(self, run: ActiveRun, checked: CheckedRequest, state: State) -> Commit:
        """The start of the run, or its outcome once it is started. Folds it into `state`."""
        if run.completed_runs not in (None, state.completed_runs):
            # A document whose fetch began earlier may be older than the one imported meanwhile.
            run.fetched, run.received = None, time.monotonic()
        run.completed_runs = state.completed_runs
        started = state.open_runs.get(run.ids.request_id)
        if started is None:
            return self._start(run, checked, state)
        if differences := list_differences(started, checked.request, self._fingerprint_key):
            raise RequestIdTakenError(f"that differs in: {', '.join(differences)}")
        run.ordered_at = started.ordered_at
        if run.began is None:
            logger.info("sync %s is resumed", run.ids.request_id, extra=fields_of(run.ids))
            run.began = time.monotonic()
        run.earlier_open_runs = [
            open_ for open_ in state.open_runs.values() if open_.ordered_at < run.ordered_at
        ]
        outcome = await decide_run(
            self._source,
            state,
            checked,
            ordered_at=run.ordered_at,
            began=run.began,
            received=run.received,
            erased=run.erased,
            fetched=run.fetched,
            observer=self._observer,
        )
        run.fetched = outcome.fetched
        version = state.version
        snapshot = await self._snapshot_after(state, outcome)
        return outcome_commit(run, version, outcome, snapshot=snapshot, erasures=run.erased)

    def _start(self, run: ActiveRun, checked: CheckedRequest, state: State) -> Commit:
        """`SyncStarted`, or `SyncFailed` if the request is not to be carried out any more."""
        request, version = checked.request, state.version
        try:
            check_turn(state, request, run.ordered_at)
        except SyncFailure as failure:
            return failure_commit(run, version, failure)
        run.began = time.monotonic()
        if run.began - run.received < _PROMPT_SECONDS:  # while the start is appended (ADR 0050)
            self._source.begin(checked.api_id, run.received)
        event = self._started(checked, run)
        fold([event], state)
        return start_commit(run, version, event)

    def _started(self, checked: CheckedRequest, run: ActiveRun) -> SyncStarted:
        request = checked.request
        by = clean_title(request.requested_by) if request.requested_by else None
        if by is not None:
            subject = identity.requester_subject(request.organization_id, by)
            if subject in run.erased:
                by = None  # an erased person may still request syncs
        return SyncStarted(
            sync_id=request.request_id,
            organization_id=request.organization_id,
            spreaview_event_id=request.spreaview_event_id,
            ordered_at=run.ordered_at,
            requested_at=request.requested_at,
            requested_by=by,
            window=request.window,
            force=bool(request.force),
            allow_removals=request.allow_removals,
            api_id_masked=mask_api_id(checked.api_id),
            api_id_fingerprint=checked.api_id_fingerprint,
            worker_version=self._worker_version,
        )

    async def _snapshot_after(self, state: State, outcome: RunOutcome) -> Snapshot | None:
        """A snapshot of the state after the outcome, if enough events have come since the last.

        Folds the outcome into `state`; reload the state before deciding again.
        """
        since_last = state.version + len(outcome.events) - state.snapshot_version
        if since_last < self._snapshot_events:
            return None
        fold(outcome.events, state)
        return await asyncio.to_thread(snapshot_of, state)


def _active_run(ids: RequestIds, context: RequestContext, found: RunRecord) -> ActiveRun | None:
    """Return the run to work on; None if it has an outcome."""
    if found.ended_in is not None:
        logger.info("sync %s has an outcome already", ids.request_id, extra=fields_of(ids))
        return None
    metadata = {TRACEPARENT: context.traceparent} if context.traceparent else {}
    return ActiveRun(ids, min(context.ordered_at, found.now), metadata, context.received)


def _log_outcome(ids: RequestIds, commit: Commit) -> None:
    terminal = commit.events[-1].event
    if isinstance(terminal, SyncFailed):
        logger.warning(
            "sync %s failed: %s: %s",
            commit.inbox,
            terminal.code,
            terminal.message,
            extra=fields_of(ids, code=terminal.code),
        )
    else:
        logger.info(
            "sync %s completed with %s",
            commit.inbox,
            counted(len(commit.events), "event"),
            extra=fields_of(ids, events=len(commit.events)),
        )

"""Fetching and deciding: from a state and a checked request to the events of the outcome."""

import asyncio
import time
from collections.abc import Sequence, Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.events import ImportEvent
from messaging.observer import UNOBSERVED, Observer
from worker.rules.command import CheckedRequest, check_turn
from worker.rules.decide import decide
from worker.rules.reading import read_document
from worker.rules.spelling import erased_in_any_spelling
from worker.rules.state import State
from worker.rules.sync_failures import SyncFailure, sync_failed
from worker.source.sessionize import Fetched
from worker.sync.ports import ScheduleSource


class RunOutcome(NamedTuple):
    """The outcome of a run; valid while its stream has not moved."""

    events: Sequence[ImportEvent]
    """`SyncCompleted` or `SyncFailed` is the last."""
    fetched: Fetched | None = None
    """The document that was decided on, if one was received."""
    keep_document: bool = True
    """False if the document lists, or may list, a speaker who was erased."""


async def decide_run(
    source: ScheduleSource,
    state: State,
    checked: CheckedRequest,
    *,
    ordered_at: datetime,
    began: float,
    received: float,
    erased: Set[UUID] = frozenset(),
    fetched: Fetched | None = None,
    observer: Observer = UNOBSERVED,
) -> RunOutcome:
    """Fetch the schedule, unless it is given as `fetched`, and decide.

    A `SyncFailure` is an outcome, too: it becomes the event `SyncFailed`.

    `began` and `received` are times of the monotonic clock: the start of the work on the request,
    and the earliest start of a fetch that shows what the requester expects to see. `erased` are
    the erased speakers of the organization.
    """
    try:
        check_turn(state, checked.request, ordered_at)
        if fetched is None:
            with observer.phase("fetch"):
                fetched = await source.fetch(checked.api_id, received)
        with observer.phase("decide"):
            # In a thread, so that a long schedule does not delay the heartbeats of this process.
            return await asyncio.to_thread(
                _decide, state, checked, ordered_at, began, erased, fetched
            )
    except SyncFailure as failure:
        event = sync_failed(checked.request, ordered_at, failure, fetched and fetched.source)
        return RunOutcome([event], fetched, keep_document=not erased)


def _decide(
    state: State,
    checked: CheckedRequest,
    ordered_at: datetime,
    began: float,
    erased: Set[UUID],
    fetched: Fetched,
) -> RunOutcome:
    reading = read_document(
        fetched.body,
        organization_id=checked.request.organization_id,
        spreaview_event_id=checked.request.spreaview_event_id,
        zone=checked.zone,
        erased=erased_in_any_spelling(
            erased,
            state.past_speakers.keys() | state.speakers.keys(),
            checked.request.organization_id,
        ),
    )
    duration_ms = round((time.monotonic() - began) * 1000)
    command = checked.command(ordered_at)
    events = decide(state, reading.schedule, command, fetched.source, duration_ms)
    return RunOutcome(events, fetched, keep_document=not reading.names_erased)

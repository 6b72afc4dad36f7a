"""Fetching and deciding: from a state and a checked request to the events of the outcome."""

import asyncio
import logging
import time
from collections.abc import Sequence, Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.events import ImportEvent, SyncFailed
from contracts.messages import RequestIds
from worker.rules.command import CheckedRequest, check_turn
from worker.rules.decide import decide
from worker.rules.document import parse_document
from worker.rules.forgotten import forget
from worker.rules.normalise import normalise
from worker.rules.state import State
from worker.rules.sync_failures import SyncFailure
from worker.source.sessionize import Fetched
from worker.sync.ports import ScheduleSource

logger = logging.getLogger(__name__)


class RunOutcome(NamedTuple):
    """What a run comes to, as long as its stream does not move."""

    outcome: Sequence[ImportEvent]
    """The terminal event is the last."""
    fetched: Fetched | None
    """The document it rests on, if one was received."""
    may_be_kept: bool = True
    """Whether the document may: not if it tells, or may tell, of somebody who was erased."""


async def decide_run(
    sessionize: ScheduleSource,
    state: State,
    checked: CheckedRequest,
    *,
    ordered_at: datetime,
    began: float,
    received: float,
    erased: Set[UUID] = frozenset(),
    fetched: Fetched | None = None,
) -> RunOutcome:
    """Fetch the schedule, unless it is `fetched`, and decide. A refusal is an outcome, too.

    `began` and `received` are moments of the monotonic clock: when the work on the request began,
    and from when on a fetch shows what the requester may expect to see. `erased` are the speakers
    of the organization who asked to be forgotten.
    """
    request = checked.request
    try:
        check_turn(state, request, ordered_at)
        if fetched is None:
            fetched = await sessionize.fetch(checked.api_id, received)
        # In a thread, so that a long schedule does not stop the heartbeats of this process.
        return await asyncio.to_thread(_decide, state, checked, ordered_at, began, erased, fetched)
    except SyncFailure as refused:
        outcome = [failed(request, ordered_at, refused, fetched)]
        return RunOutcome(outcome, fetched, may_be_kept=not erased)


def _decide(
    state: State,
    checked: CheckedRequest,
    ordered_at: datetime,
    began: float,
    erased: Set[UUID],
    fetched: Fetched,
) -> RunOutcome:
    schedule = normalise(
        parse_document(fetched.body),
        organization_id=checked.request.organization_id,
        spreaview_event_id=checked.request.spreaview_event_id,
        zone=checked.zone,
    )
    known = forget(schedule, checked.request.organization_id, erased)
    duration_ms = round((time.monotonic() - began) * 1000)
    outcome = decide(state, known.schedule, checked.order(ordered_at), fetched.source, duration_ms)
    return RunOutcome(outcome, fetched, may_be_kept=not known.names_somebody)


def failed(
    ids: RequestIds, ordered_at: datetime, refused: SyncFailure, fetched: Fetched | None = None
) -> SyncFailed:
    """The event of a refusal."""
    return SyncFailed(
        sync_id=ids.request_id,
        organization_id=ids.organization_id,
        spreaview_event_id=ids.spreaview_event_id,
        ordered_at=ordered_at,
        code=refused.code,
        message=refused.message,
        remedy=refused.remedy,
        retryable=refused.retryable,
        http_status=refused.http_status,
        source=fetched.source if fetched else None,
    )

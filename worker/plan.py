"""Planning: what a sync would do now, by the same code, changing nothing."""

import time
from datetime import datetime
from typing import NamedTuple

from contracts.events import ImportEvent
from contracts.messages import SyncRequested
from eventstore.log import EventLog
from worker.judge import failed, judge, load_state
from worker.order import check_request
from worker.refusal import Refusal
from worker.sessionize import Sessionize
from worker.state import State


class Plan(NamedTuple):
    """What is shown now, and the outcome that a sync would have."""

    state: State
    outcome: list[ImportEvent]


async def plan(
    log: EventLog, sessionize: Sessionize, request: SyncRequested, now: datetime
) -> Plan:
    """Fetch and decide as a sync does, and append nothing."""
    state = await load_state(log, request.spreaview_event_id)
    began = time.monotonic()
    try:
        checked = check_request(request, (await log.identity()).fingerprint_key)
    except Refusal as refused:
        return Plan(state, [failed(request, now, refused)])
    judgement = await judge(sessionize, state, checked, ordered_at=now, began=began, received=began)
    return Plan(state, list(judgement.outcome))

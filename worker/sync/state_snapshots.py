"""Snapshots of the state, so that a sync reads only the events after one.

They are caches: a snapshot made by another version of the fold, or an unreadable one, is ignored.
They contain personal fields, so an erasure deletes the snapshots of all streams with the person.
"""

import logging
from uuid import UUID

from eventstore.log import Opening
from eventstore.model import Snapshot
from worker.rules.state import State, fold
from worker.rules.state_encoding import decode_state, encode_state
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.ports import StateLog

logger = logging.getLogger(__name__)


def snapshot_of(state: State) -> Snapshot:
    """Return a snapshot of a state, to be appended with the last event folded in."""
    return Snapshot(state.version, FOLD_VERSION, encode_state(state))


async def load_state(log: StateLog, spreaview_event_id: UUID) -> State:
    """Load the state of a SpreaView event: its snapshot and the events after it."""
    snapshot = await log.snapshot(spreaview_event_id, FOLD_VERSION)
    return await _add_later_events(log, spreaview_event_id, _state_of(snapshot, spreaview_event_id))


async def state_at(log: StateLog, spreaview_event_id: UUID, opening: Opening) -> State:
    """Load the state of a SpreaView event, with the snapshot and the version in `opening`."""
    state = _state_of(opening.snapshot, spreaview_event_id)
    if state.version == opening.version:
        return state
    return await _add_later_events(log, spreaview_event_id, state)


def _state_of(snapshot: Snapshot | None, spreaview_event_id: UUID) -> State:
    if snapshot is not None:
        try:
            return decode_state(snapshot.body)
        except ValueError as error:
            logger.warning("ignoring the snapshot of %s: %s", spreaview_event_id, error)
    return State()


async def _add_later_events(log: StateLog, spreaview_event_id: UUID, state: State) -> State:
    async for recorded in log.read_stream(spreaview_event_id, after=state.version):
        fold([recorded.event], state)
    return state

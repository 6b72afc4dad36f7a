"""Snapshots of the state: a sync reads what lies beyond one, and not the whole history.

They are caches: one that other code has folded, or that cannot be read, is passed over. Personal
fields are in them, so an erasure deletes those of the streams that know the person.
"""

import logging
from uuid import UUID

from eventstore.model import Snapshot
from worker.rules.state import State, fold
from worker.rules.state_encoding import decode_state, encode_state
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.ports import StateLog

logger = logging.getLogger(__name__)


def snapshot_of(state: State) -> Snapshot:
    """The state, to be kept with the last of the events that it was folded from."""
    return Snapshot(state.version, FOLD_VERSION, encode_state(state))


async def load_state(log: StateLog, spreaview_event_id: UUID) -> State:
    """The state of a SpreaView event, folded from its stream, from its snapshot on."""
    state = State()
    snapshot = await log.snapshot(spreaview_event_id, FOLD_VERSION)
    if snapshot is not None:
        try:
            state = decode_state(snapshot.body)
        except ValueError as error:
            logger.warning("the snapshot of %s is passed over: %s", spreaview_event_id, error)
    async for recorded in log.read_stream(spreaview_event_id, after=state.version):
        fold([recorded.event], state)
    return state

"""The state as bytes, the form in which snapshots store it. Pure."""

import zlib
from datetime import datetime
from uuid import UUID

import msgspec

from contracts.codec import PERSONAL_FIELDS
from contracts.events import (
    Room,
    Session,
    SessionSkippedOutOfWindow,
    SessionSkippedUnscheduled,
    Speaker,
    SyncStarted,
)
from worker.rules.state import Skip, State

_NOBODY = dict.fromkeys(PERSONAL_FIELDS["SyncStarted"])


class _Stored(msgspec.Struct, frozen=True):
    """A `State` as JSON: skips are split by type, and sets are sorted."""

    version: int
    organization_id: UUID | None
    rooms: dict[str, Room]
    speakers: dict[str, Speaker]
    sessions: dict[str, Session]
    past_rooms: dict[str, Room]
    past_speakers: dict[str, Speaker]
    past_sessions: dict[str, Session]
    skipped: dict[str, tuple[SessionSkippedOutOfWindow | None, SessionSkippedUnscheduled | None]]
    open_runs: dict[UUID, SyncStarted]
    last_completed_ordered_at: datetime | None
    last_completed_fingerprint: str | None
    withheld: list[str]
    withheld_by: UUID | None
    completed_runs: int


def encode_state(state: State) -> bytes:
    """Encode a state as compressed JSON; equal states give equal bytes.

    Leaves out the requester of a run: the name is personal, and no decision depends on it.
    """
    runs = {k: msgspec.structs.replace(s, **_NOBODY) for k, s in state.open_runs.items()}
    kept = {name: getattr(state, name) for name in _Stored.__struct_fields__} | {
        "skipped": {key: _by_type(skip) for key, skip in state.skipped.items()},
        "open_runs": runs,
        "withheld": sorted(state.withheld),
    }
    return zlib.compress(msgspec.json.encode(_Stored(**kept)), level=1)


def _by_type(
    skip: Skip,
) -> tuple[SessionSkippedOutOfWindow | None, SessionSkippedUnscheduled | None]:
    if isinstance(skip, SessionSkippedOutOfWindow):
        return skip, None
    return None, skip


def decode_state(body: bytes) -> State:
    """Decode what `encode_state` wrote. Raises `ValueError` for anything else."""
    try:
        stored = msgspec.json.decode(zlib.decompress(body), type=_Stored)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"no state: {error}") from error
    kept = {name: getattr(stored, name) for name in _Stored.__struct_fields__} | {
        "skipped": {k: skip for k, pair in stored.skipped.items() if (skip := pair[0] or pair[1])},
        "withheld": frozenset(stored.withheld),
    }
    return State(**kept, snapshot_version=stored.version)

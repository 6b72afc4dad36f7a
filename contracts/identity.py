"""Ids that never change: they are derived, not assigned, so that all workers agree on them.

An id is the UUIDv5 of `kind:sessionize id` under a namespace: the SpreaView event for sessions and
rooms, the organization for speakers (a speaker belongs to the organization). Sessionize ids are
text and are never parsed. `contracts/examples/identity.json` holds test vectors.
"""

from uuid import UUID, uuid5

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
_PLACES = tuple(range(50, -1, -10))
"""The first bit of each pair of a code's 12 characters."""
OUTCOME = "outcome"


def session_id(spreaview_event_id: UUID, sessionize_id: str) -> UUID:
    """Id of a session within one SpreaView event."""
    return uuid5(spreaview_event_id, f"session:{sessionize_id}")


def room_id(spreaview_event_id: UUID, sessionize_id: str) -> UUID:
    """Id of a room within one SpreaView event."""
    return uuid5(spreaview_event_id, f"room:{sessionize_id}")


def speaker_id(organization_id: UUID, sessionize_id: str) -> UUID:
    """Id of a speaker: the same in every SpreaView event of the organization."""
    return uuid5(organization_id, f"speaker:{sessionize_id}")


def session_code(session_id: UUID) -> str:
    """Code in a session's review URL: 12 characters of Crockford's base32.

    It encodes the last 60 bits of the session id. All of them are bits of the hash: the version
    and the variant of the UUID lie before them. The code never changes, because the id does not.
    """
    bits = session_id.int
    return "".join([_PAIRS[bits >> place & 1023] for place in _PLACES])


def message_id(sync_id: UUID, ordinal: int | str) -> UUID:
    """Id of an event of a run, and so its `ce_id`.

    The ordinal is 0 for `SyncStarted`, `OUTCOME` for the terminal event, and counts from 1 for the
    other events of the outcome. A repeated append therefore has the same ids as the first one.
    """
    return uuid5(sync_id, str(ordinal))


def requester_subject(organization_id: UUID, requested_by: str) -> UUID:
    """Id of the person behind `requested_by`, the same in all runs of an organization."""
    return uuid5(organization_id, requested_by)

"""Ids that never change: derived, not assigned, so that every run of every worker agrees on them.

An id is the UUIDv5 of `kind:sessionize id` under a namespace: the SpreaView event for sessions and
rooms, the organization for speakers (a speaker belongs to the organization). Sessionize ids are
text and are never parsed. `contracts/examples/identity.json` holds test vectors.
"""

from uuid import UUID, uuid5

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 12
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

    It carries the last 60 bits of the session id, all of which are hash (the version and variant
    of the UUID lie before them). It never changes, since the id never does.
    """
    bits = session_id.int
    return "".join(_CROCKFORD[bits >> (5 * place) & 31] for place in reversed(range(_CODE_LENGTH)))


def message_id(sync_id: UUID, ordinal: int | str) -> UUID:
    """Id of a run's event, hence `ce_id`: 0 is `SyncStarted`, `OUTCOME` the terminal event.

    The rest of an outcome counts from 1. A repeated append meets the ids of the first one.
    """
    return uuid5(sync_id, str(ordinal))


def requester_subject(organization_id: UUID, requested_by: str) -> UUID:
    """The data subject behind `requested_by`: the same person in all of an organization's runs."""
    return uuid5(organization_id, requested_by)

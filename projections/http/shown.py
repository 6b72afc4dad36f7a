"""The state that an answer shows: log, generation and version, read with one row."""

from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventstore.damage import NoLogIdentityError
from projections.generations import NoGenerationError

# The erasures are part of it: an erasure changes rows without moving a version. So is a part of the
# last event's hash: after a failover, another event may be at the same position and version, with
# the same id if its run was repeated. The first completed run is found by the index.
_SHOWN = text("""
    SELECT (SELECT log_id FROM event_store.log) AS log_id,
           (SELECT number FROM projections.generations WHERE live) AS generation,
           (SELECT count(*) || '-' || coalesce(max(extract(epoch FROM erased_at)), 0)::text
            FROM event_store.erased_subjects) AS erasures,
           p.version, p.position,
           (SELECT left(encode(e.hash, 'hex'), 8) FROM event_store.events e
            WHERE e.position = p.position) AS mark,
           coalesce(
               (SELECT organization_id FROM spreaview.sync_runs
                WHERE spreaview_event_id = wanted.id AND status = 'completed'
                ORDER BY position LIMIT 1),
               (SELECT organization_id FROM spreaview.sync_runs
                WHERE spreaview_event_id = wanted.id
                ORDER BY position LIMIT 1)
           ) AS organization_id
    FROM (SELECT CAST(:event_id AS uuid) AS id) wanted
    LEFT JOIN spreaview.stream_progress p ON p.spreaview_event_id = wanted.id
""")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The state that an answer shows."""

    log_id: UUID
    """The log. A restored one has another id."""
    generation: int
    """The number of the live read models."""
    version: int
    """The version of the event's stream up to which its events are shown."""
    position: int
    """The position of the last of them in the log."""


class ShownEvent(NamedTuple):
    """The state of one SpreaView event, and its organization."""

    shown: Shown
    organization_id: UUID | None
    """Bound by the first completed sync; before, the organization of the first request. None: the
    event is unknown."""
    erasures: str
    """Changes with every erasure and every lifting of one."""
    mark: str
    """The first 8 digits of the hash of the last event shown; empty if there is none."""

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the event."""
        return self.organization_id is not None

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for answers with equal rows."""
        shown = self.shown
        return shown.log_id, shown.generation, shown.version, self.mark, self.erasures

    @property
    def etag(self) -> str:
        """The weak entity tag of every answer about the event."""
        shown = self.shown
        state = shown.generation, shown.version, self.mark, self.erasures
        return f'W/"{str(shown.log_id)[:8]}-{"-".join(map(str, state))}"'


async def read_shown(connection: AsyncConnection, event_id: UUID) -> ShownEvent:
    """Read what the connection shows of an event now.

    Raises:
        NoGenerationError: the database has no live read models.
        NoLogIdentityError: the log has lost its id.
    """
    row = (await connection.execute(_SHOWN, {"event_id": event_id})).one()
    if row.log_id is None:
        raise NoLogIdentityError
    if row.generation is None:
        raise NoGenerationError
    shown = Shown(
        log_id=row.log_id,
        generation=row.generation,
        version=row.version or 0,
        position=row.position or 0,
    )
    return ShownEvent(shown, row.organization_id, row.erasures, row.mark or "")

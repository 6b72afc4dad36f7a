"""Announcing what the read models show: a NOTIFY on the channel `spreaview` with each commit."""

from collections.abc import Collection

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.changes import Row

CHANNEL = "spreaview"

# PostgreSQL delivers the notifications when the transaction commits, and none if it does not.
ANNOUNCE = text("""
    SELECT pg_notify(:channel, json_build_object(
        'spreaview_event_id', r.spreaview_event_id, 'version', r.version,
        'position', r.position)::text)
    FROM json_to_recordset(CAST(:rows AS json))
         AS r (spreaview_event_id uuid, version bigint, position bigint)
""").bindparams(channel=CHANNEL)


async def announce(connection: AsyncConnection, progress: Collection[Row]) -> None:
    """Notify listeners, at the commit, of the versions that the read models show then.

    A notification is a hint: PostgreSQL delivers it only to the sessions that listen at that
    moment, and not on a replica. `spreaview.stream_progress` is the truth.
    """
    rows = msgspec.json.encode(list(progress)).decode()
    await connection.execute(ANNOUNCE, {"rows": rows})

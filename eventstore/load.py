"""Loading a whole log into an empty database: the same log, or nothing.

Positions, ids, times and hashes are kept, unlike in an append. Streams, inbox and the sequence of
the positions are derived from the events, so that the log can be appended to afterwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.error_text import describe_error
from contracts.events import TERMINAL_TYPES
from eventstore import chain
from eventstore.erasure_answers import ErasureAnswer, write_answer
from eventstore.stored_events import StoredEvent

_BATCH = 1000

_IS_EMPTY = text("SELECT NOT EXISTS (SELECT FROM event_store.events)")

_LOCK = text("LOCK TABLE event_store.events IN EXCLUSIVE MODE")

_NAME_LOG = text("""
    UPDATE event_store.log
    SET log_id = :log_id, fingerprint_key = coalesce(:key, fingerprint_key)
""")

_INSERT_EVENTS = text("""
    INSERT INTO event_store.events
        (position, stream_id, version, message_id, type, schema_version, data, metadata,
         recorded_at, hash)
    OVERRIDING SYSTEM VALUE
    SELECT * FROM unnest(
        CAST(:positions AS bigint[]), CAST(:stream_ids AS uuid[]), CAST(:versions AS bigint[]),
        CAST(:message_ids AS uuid[]), CAST(:types AS text[]), CAST(:schema_versions AS integer[]),
        CAST(:data AS jsonb[]), CAST(:metadata AS jsonb[]), CAST(:times AS timestamptz[]),
        CAST(:hashes AS bytea[]))
""")

_INSERT_PERSONAL_DATA = text("""
    INSERT INTO event_store.personal_data (message_id, subject, salt, body)
    SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:subjects AS uuid[]),
                         CAST(:salts AS bytea[]), CAST(:bodies AS jsonb[]))
""")

_INSERT_DOCUMENT = text("""
    INSERT INTO event_store.sources (digest, size_bytes, body) VALUES (:digest, :size, :body)
""")

_INSERT_ERASURE = text("""
    INSERT INTO event_store.erased_subjects (subject, organization_id, erasure_id, erased_at)
    VALUES (:subject, :organization_id, :erasure_id, :erased_at)
""")

_INSERT_STREAMS = text("""
    INSERT INTO event_store.streams (stream_id, version)
    SELECT stream_id, max(version) FROM event_store.events GROUP BY stream_id
""")

_INSERT_INBOX = text("""
    INSERT INTO event_store.inbox (message_id, stream_id, recorded_at)
    SELECT CAST(data->>'sync_id' AS uuid), stream_id, recorded_at FROM event_store.events
    WHERE type = ANY(:types)
""")

_MOVE_SEQUENCE = text("""
    SELECT setval(pg_get_serial_sequence('event_store.events', 'position'), max(position))
    FROM event_store.events HAVING max(position) IS NOT NULL
""")


_NOT_ERASED = text("""
    SELECT subject FROM event_store.personal_data JOIN event_store.events e USING (message_id)
    JOIN event_store.erased_subjects s USING (subject)
    WHERE e.data->>'organization_id' = CAST(s.organization_id AS text)
    LIMIT 1
""")

_REFUSED_VALUES = ("22", "23", "54")
"""Classes of SQLSTATE codes: data exceptions, violated constraints, exceeded limits."""


class LogNotEmptyError(Exception):
    """The database has events already. Nothing was loaded."""


class StoredErasure(NamedTuple):
    """A row of `event_store.erased_subjects`."""

    subject: UUID
    organization_id: UUID
    erasure_id: UUID
    erased_at: datetime


class LogLoader:
    """Loads one log, in the caller's transaction.

        async with engine.begin() as connection:
            loader = await LogLoader.begin(connection)
            await loader.name_log(log_id, key)
            for event in events:
                await loader.add_event(event)
            await loader.finish()

    The table of events is locked from `begin` on, so no other writer comes between. Every event is
    checked against its predecessor. After any error the caller must roll back: only a transaction
    in which `finish` has returned may be committed.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._heads: dict[UUID, tuple[int, bytes]] = {}
        """Version and hash of the last event of each stream."""
        self._position = 0
        self._batch: list[StoredEvent] = []

    @classmethod
    async def begin(cls, connection: AsyncConnection) -> "LogLoader":
        """Lock the log. Raises `LogNotEmptyError` if it has an event."""
        await connection.execute(_LOCK)
        if not (await connection.execute(_IS_EMPTY)).scalar_one():
            raise LogNotEmptyError
        return cls(connection)

    async def name_log(self, log_id: UUID, fingerprint_key: bytes | None) -> None:
        """Give the database the identity of the loaded log; without a key it keeps its own."""
        await self._connection.execute(_NAME_LOG, {"log_id": log_id, "key": fingerprint_key})

    async def add_event(self, event: StoredEvent) -> None:
        """Add the next event; the events come in the order of positions.

        Raises:
            ValueError: the event does not follow its predecessor, by its version, its position or
                its hash; or the database refuses it or an earlier one.
        """
        version, head = self._heads.get(event.stream_id, (0, chain.GENESIS))
        if event.version != version + 1:
            raise ValueError(f"{event.place} comes after version {version}")
        if event.position <= self._position:
            raise ValueError(
                f"{event.place} has the position {event.position}, which is not beyond "
                f"{self._position}"
            )
        if event.hash_after(head) != event.hash:
            raise ValueError(f"the hash of {event.place} is wrong")
        self._position = event.position
        self._heads[event.stream_id] = (event.version, event.hash)
        self._batch.append(event)
        if len(self._batch) >= _BATCH:
            await self._flush()

    async def add_erasure(self, erasure: StoredErasure) -> None:
        """Add an erased person. Raises `ValueError` if it is in the log already."""
        with _refusals(f"the erasure of {erasure.subject}"):
            await self._connection.execute(_INSERT_ERASURE, erasure._asdict())

    async def add_answer(self, answer: ErasureAnswer) -> None:
        """Add the answer to an erasure request. Raises `ValueError` if the log has one already."""
        named = f"the answer to the erasure request {answer.request_id}"
        with _refusals(named):
            if not await write_answer(self._connection, answer):
                raise ValueError(f"{named} is in the log already")

    async def add_document(self, digest: bytes, size_bytes: int, body: bytes) -> None:
        """Add a document behind a run; `body` is compressed, as it is stored.

        Raises:
            ValueError: the document is in the log already.
        """
        with _refusals(f"document {digest.hex()}"):
            await self._connection.execute(
                _INSERT_DOCUMENT, {"digest": digest, "size": size_bytes, "body": body}
            )

    async def finish(self) -> None:
        """Write the rest, and what an append needs: stream heads, inbox, the next position.

        Raises:
            ValueError: the database refuses an event, or the log holds data of an erased person.
        """
        await self._flush()
        for subject in (await self._connection.execute(_NOT_ERASED)).scalars():
            raise ValueError(f"it holds personal data of {subject}, who is erased")
        await self._connection.execute(_INSERT_STREAMS)
        await self._connection.execute(_INSERT_INBOX, {"types": sorted(TERMINAL_TYPES)})
        await self._connection.execute(_MOVE_SEQUENCE)

    async def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            await self._insert(batch)

    async def _insert(self, events: Sequence[StoredEvent]) -> None:
        """Insert events. If the database refuses them, find out which one it refuses."""
        half = len(events) // 2
        try:
            with _refusals(events[-1].place):
                async with self._connection.begin_nested():
                    await self._connection.execute(_INSERT_EVENTS, _event_columns(events))
                    personal = _personal_columns(e for e in events if e.personal is not None)
                    await self._connection.execute(_INSERT_PERSONAL_DATA, personal)
        except ValueError:
            if half == 0:
                raise
            await self._insert(events[:half])
            await self._insert(events[half:])


@contextmanager
def _refusals(named: str) -> Iterator[None]:
    """Raise `ValueError` if the database refuses a row for its values."""
    try:
        yield
    except DBAPIError as error:
        if not str(getattr(error.orig, "sqlstate", "")).startswith(_REFUSED_VALUES):
            raise
        raise ValueError(f"the database refuses {named}: {describe_error(error)}") from error


def _event_columns(events: Sequence[StoredEvent]) -> dict[str, list[object]]:
    return {
        "positions": [event.position for event in events],
        "stream_ids": [event.stream_id for event in events],
        "versions": [event.version for event in events],
        "message_ids": [event.message_id for event in events],
        "types": [event.type for event in events],
        "schema_versions": [event.schema_version for event in events],
        "data": [event.data for event in events],
        "metadata": [event.metadata for event in events],
        "times": [event.recorded_at for event in events],
        "hashes": [event.hash for event in events],
    }


def _personal_columns(events: Iterable[StoredEvent]) -> dict[str, list[object]]:
    rows = [(event.message_id, event.subject, event.salt, event.personal) for event in events]
    names = ("message_ids", "subjects", "salts", "bodies")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}

"""Append: the outcome of a run enters the log completely, in order and once, or not at all.

Holds every statement that appends to `event_store.events`, `streams` and `inbox`.
"""

from collections.abc import Collection, Sequence, Set
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, take_apart
from contracts.error_text import raised_by_the_driver
from eventstore import chain
from eventstore.driver import Executor, driver_transaction
from eventstore.model import (
    AlreadyRecordedError,
    Appended,
    Commit,
    NewEvent,
    PositionsBehindError,
    StreamMovedError,
)
from eventstore.personal_data import PersonalRow, insert_personal_data, salted
from eventstore.read import STREAM_VERSION
from eventstore.snapshots import put_snapshot
from eventstore.sources import insert_source

_MESSAGE_IDS = frozenset({"events_message_id_key", "personal_data_pkey"})
_POSITIONS = "events_pkey"

LOG_LOCK = 0x5350_5245_4156_0001
"""The lock under which positions are assigned: commit order = position order = stream order."""

INSERT_INBOX = text("""
    INSERT INTO event_store.inbox (message_id, stream_id) VALUES (:message_id, :stream_id)
    ON CONFLICT (message_id) DO NOTHING
    RETURNING message_id
""")

CREATE_STREAM = text("""
    INSERT INTO event_store.streams (stream_id, version) VALUES (:stream_id, :new_version)
    ON CONFLICT (stream_id) DO NOTHING
    RETURNING stream_id
""")

# The row stays locked until the commit, so no other append moves the head that is found here.
MOVE_STREAM = text("""
    UPDATE event_store.streams SET version = :new_version
    WHERE stream_id = :stream_id AND version = :expected_version
    RETURNING (SELECT e.hash FROM event_store.events e
               WHERE e.stream_id = :stream_id AND e.version = :expected_version) AS head
""")

LOCK_STREAMS = text("""
    SELECT FROM event_store.streams
    WHERE stream_id = ANY(CAST(:stream_ids AS uuid[])) ORDER BY stream_id FOR UPDATE
""")

# Reads the clock once the lock is held: a CTE is evaluated before the outer target list.
LOCK_LOG = text("""
    WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(:key))
    SELECT clock_timestamp() AS now FROM locked
""").bindparams(key=LOG_LOCK)

# The sub-select sees the log as it was before this statement.
INSERT_EVENTS = text("""
    WITH inserted AS (
        INSERT INTO event_store.events
            (stream_id, version, message_id, type, schema_version, data, metadata,
             recorded_at, hash)
        SELECT :stream_id, e.version, e.message_id, e.type, e.schema_version,
               CAST(e.data AS jsonb), CAST(:metadata AS jsonb), :recorded_at, e.hash
        FROM unnest(CAST(:versions AS bigint[]), CAST(:message_ids AS uuid[]),
                    CAST(:types AS text[]), CAST(:schema_versions AS integer[]),
                    CAST(:data AS text[]), CAST(:hashes AS bytea[]))
             AS e (version, message_id, type, schema_version, data, hash)
        WHERE NOT EXISTS (SELECT FROM event_store.erased_subjects
                          WHERE organization_id = :organization_id
                            AND (subject = ANY(CAST(:subjects AS uuid[]))
                                 OR subject <> ALL(CAST(:known_subjects AS uuid[]))))
        ORDER BY e.version
        RETURNING position
    )
    SELECT max(position) AS position,
           min(position) > (SELECT coalesce(max(position), 0) FROM event_store.events) AS is_beyond,
           pg_notify('event_store', max(position)::text)
    FROM inserted
""")


class _Row(NamedTuple):
    """One event without its hash."""

    version: int
    message_id: UUID
    type: str
    schema_version: int
    data: bytes
    body_digest: bytes


async def append(engine: AsyncEngine, commit: Commit) -> Appended:
    """As `append_within`, in a transaction of the engine."""
    return await append_within(driver_transaction(engine), commit)


async def append_within(
    transaction: AbstractAsyncContextManager[Executor], commit: Commit
) -> Appended:
    """Append the events of a commit, and everything stored with them, in one transaction.

    A reader of the log sees all of the events or none, and never sees one appear behind a position
    that it has read.

    Raises:
        StreamMovedError: the stream is not at `expected_version`, or the events carry personal
            data of a speaker who was erased meanwhile, or a speaker was who is not in `erasures`.
        AlreadyRecordedError: the inbox entry or one of the message ids exists.
        PositionsBehindError: the database was copied without its sequences.
        sqlalchemy.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the
            database is down or refused. Nothing was appended, unless the connection was lost
            during the commit: repeat the append to find out.
    """
    stream_id, expected_version = commit.stream_id, commit.expected_version
    new_version = expected_version + len(commit.events)
    metadata = canonical(dict(commit.metadata))
    rows, personal = _prepare(stream_id, expected_version, commit.events, metadata)
    try:
        async with transaction as connection:
            if commit.inbox is not None:
                await _enter_inbox(connection, commit.inbox, stream_id)
            head = await _move_stream(connection, stream_id, expected_version, new_version)
            if personal:
                await insert_personal_data(connection, personal)
            if commit.source is not None:
                await insert_source(connection, commit.source)
            if commit.snapshot is not None:
                await put_snapshot(connection, stream_id, commit.snapshot)
            recorded_at = await lock_log(connection)
            position = await _insert(
                connection,
                stream_id,
                head,
                rows,
                metadata=metadata,
                recorded_at=recorded_at,
                subjects={row.subject for row in personal},
                organization_id=commit.events[0].event.organization_id,
                erasures=commit.erasures,
            )
            if position is None:
                raise StreamMovedError(stream_id, expected_version)
    except IntegrityError as error:
        if _violated(error) in _MESSAGE_IDS:
            raise AlreadyRecordedError(str(raised_by_the_driver(error))) from error
        if _violated(error) == _POSITIONS:
            raise PositionsBehindError from error
        raise
    return Appended(new_version, position)


async def append_to_head(
    connection: Executor, stream_id: UUID, event: NewEvent, recorded_at: datetime
) -> None:
    """Append an event without personal data at the head of a stream, at any version.

    The caller has locked the stream first (`lock_streams`) and then the log (`lock_log`).
    """
    version = (await connection.execute(STREAM_VERSION, {"stream_id": stream_id})).scalar_one()
    head = await _move_stream(connection, stream_id, version, version + 1)
    metadata = canonical({})
    rows, _ = _prepare(stream_id, version, [event], metadata)
    await _insert(connection, stream_id, head, rows, metadata=metadata, recorded_at=recorded_at)


async def lock_streams(connection: Executor, stream_ids: Sequence[UUID]) -> None:
    """Lock streams against appends until the transaction ends."""
    await connection.execute(LOCK_STREAMS, {"stream_ids": stream_ids})


async def lock_log(connection: Executor) -> datetime:
    """Lock the log against all other appends until the transaction ends; return the time.

    The last lock of a transaction: whoever waits for another lock under this one stops the log.
    """
    recorded_at: datetime = (await connection.execute(LOCK_LOG)).scalar_one()
    return recorded_at


async def _insert(
    connection: Executor,
    stream_id: UUID,
    head: bytes,
    rows: Sequence[_Row],
    *,
    metadata: bytes,
    recorded_at: datetime,
    subjects: Collection[UUID] = (),
    organization_id: UUID | None = None,
    erasures: Set[UUID] | None = None,
) -> int | None:
    """Insert under the lock; return the last position, or None if a speaker was erased meanwhile.

    `subjects` are the persons of the events; only erasures of their organization count.

    Raises:
        PositionsBehindError: the database was copied without its sequences.
    """
    inserted = await connection.execute(
        INSERT_EVENTS,
        {
            "stream_id": stream_id,
            "metadata": metadata.decode(),
            "recorded_at": recorded_at,
            "versions": [row.version for row in rows],
            "message_ids": [row.message_id for row in rows],
            "types": [row.type for row in rows],
            "schema_versions": [row.schema_version for row in rows],
            "data": [row.data.decode() for row in rows],
            "hashes": _links(head, rows, recorded_at),
            "subjects": list(subjects),
            "organization_id": organization_id,
            "known_subjects": None if erasures is None else list(erasures),
        },
    )
    position, is_beyond, _ = inserted.one()
    if is_beyond is False:
        raise PositionsBehindError
    return None if position is None else int(position)


def _violated(error: IntegrityError) -> str | None:
    """Return the name of the constraint."""
    return getattr(raised_by_the_driver(error), "constraint_name", None)


def _prepare(
    stream_id: UUID, expected_version: int, events: Sequence[NewEvent], metadata: bytes
) -> tuple[list[_Row], list[PersonalRow]]:
    """Compute everything that does not need the lock."""
    rows: list[_Row] = []
    personal: list[PersonalRow] = []
    for version, (message_id, event) in enumerate(events, start=expected_version + 1):
        plain = take_apart(event)
        if plain.personal is not None:
            kept = salted(message_id, plain.personal)
            personal.append(kept)
            plain.data[PERSONAL_KEY] = {"digest": chain.personal_digest(kept.salt, kept.body)}
        data = canonical(plain.data)
        digest = chain.body_digest(
            stream_id=stream_id,
            version=version,
            message_id=message_id,
            type=plain.type,
            schema_version=plain.schema_version,
            data=data,
            metadata=metadata,
        )
        rows.append(_Row(version, message_id, plain.type, plain.schema_version, data, digest))
    return rows, personal


def _links(head: bytes, rows: Sequence[_Row], recorded_at: datetime) -> list[bytes]:
    hashes: list[bytes] = []
    microseconds = chain.microseconds(recorded_at)
    for row in rows:
        head = chain.link_at(head, row.body_digest, microseconds)
        hashes.append(head)
    return hashes


async def _enter_inbox(connection: Executor, message_id: UUID, stream_id: UUID) -> None:
    entered = await connection.execute(
        INSERT_INBOX, {"message_id": message_id, "stream_id": stream_id}
    )
    if entered.one_or_none() is None:
        raise AlreadyRecordedError(f"message {message_id} has been handled already")


async def _move_stream(
    connection: Executor, stream_id: UUID, expected_version: int, new_version: int
) -> bytes:
    """Claim the versions; return the hash of the stream's head."""
    if expected_version == 0:
        created = await connection.execute(
            CREATE_STREAM, {"stream_id": stream_id, "new_version": new_version}
        )
        if created.one_or_none() is not None:
            return chain.GENESIS
        raise StreamMovedError(stream_id, expected_version)
    moved = await connection.execute(
        MOVE_STREAM,
        {
            "stream_id": stream_id,
            "expected_version": expected_version,
            "new_version": new_version,
        },
    )
    row = moved.one_or_none()
    if row is None:
        raise StreamMovedError(stream_id, expected_version)
    head: bytes = row[0]
    return head

"""Append: a run's outcome enters the log whole, in order, once — or not at all."""

import secrets
import zlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, PersonalData, take_apart
from eventstore import chain, statements
from eventstore.model import (
    AlreadyRecordedError,
    Appended,
    Commit,
    KnownErasures,
    NewEvent,
    PositionsBehindError,
    Snapshot,
    SourceDocument,
    StreamMovedError,
)

_SALT_BYTES = 16
_MESSAGE_IDS = frozenset({"events_message_id_key", "personal_data_pkey"})
_POSITIONS = "events_pkey"


class _Row(NamedTuple):
    """One event, ready but for its hash."""

    version: int
    message_id: UUID
    type: str
    schema_version: int
    data: bytes
    body_digest: bytes


class _Forgettable(NamedTuple):
    message_id: UUID
    subject: UUID
    salt: bytes
    body: bytes


async def append(engine: AsyncEngine, commit: Commit) -> Appended:
    """Append the events of a commit, and everything stored with them, in one transaction.

    A reader of the log sees all of the events or none, and never sees one appear behind a position
    that it has read.

    Raises:
        StreamMovedError: the stream is not at `expected_version`, or the events carry personal
            data of a speaker who was erased meanwhile, or a speaker was who is not in `erasures`.
        AlreadyRecordedError: the inbox entry or one of the message ids exists.
        PositionsBehindError: the database was copied without its sequences.
        sqlalchemy.exc.DBAPIError: the database is down or refused. Nothing was appended, unless
            the connection was lost during the commit: repeat the append to find out.
    """
    stream_id, expected_version = commit.stream_id, commit.expected_version
    new_version = expected_version + len(commit.events)
    metadata = canonical(dict(commit.metadata))
    rows, forgettable = _prepare(stream_id, expected_version, commit.events, metadata)
    try:
        async with engine.begin() as connection:
            if commit.inbox is not None:
                await _enter_inbox(connection, commit.inbox, stream_id)
            head = await _move_stream(connection, stream_id, expected_version, new_version)
            if forgettable:
                await _keep_personal_data(connection, forgettable)
            if commit.source is not None:
                await _keep_source(connection, commit.source)
            if commit.snapshot is not None:
                await _keep_snapshot(connection, stream_id, commit.snapshot)
            recorded_at: datetime = (await connection.execute(statements.LOCK_LOG)).scalar_one()
            position = await _insert(
                connection,
                stream_id,
                head,
                rows,
                metadata=metadata,
                recorded_at=recorded_at,
                subjects={kept.subject for kept in forgettable},
                erasures=commit.erasures,
            )
            if position is None:
                raise StreamMovedError(stream_id, expected_version)
    except IntegrityError as error:
        if _violated(error) in _MESSAGE_IDS:
            raise AlreadyRecordedError(str(error.orig)) from error
        if _violated(error) == _POSITIONS:
            raise PositionsBehindError from error
        raise
    return Appended(new_version, position)


async def append_to_head(
    connection: AsyncConnection, stream_id: UUID, event: NewEvent, recorded_at: datetime
) -> None:
    """Append an event without personal data at the head of a stream, whatever its version.

    The caller has locked the stream's row before and the log after that, as LOCK_LOG does.
    """
    version = (
        await connection.execute(statements.STREAM_VERSION, {"stream_id": stream_id})
    ).scalar_one()
    head = await _move_stream(connection, stream_id, version, version + 1)
    metadata = canonical({})
    rows, _ = _prepare(stream_id, version, [event], metadata)
    await _insert(
        connection, stream_id, head, rows, metadata=metadata, recorded_at=recorded_at, subjects=()
    )


async def _insert(
    connection: AsyncConnection,
    stream_id: UUID,
    head: bytes,
    rows: Sequence[_Row],
    *,
    metadata: bytes,
    recorded_at: datetime,
    subjects: Collection[UUID],
    erasures: KnownErasures | None = None,
) -> int | None:
    """Insert under the lock; the last position, or None if somebody was erased meanwhile.

    Raises `PositionsBehindError`.
    """
    inserted = await connection.execute(
        statements.INSERT_EVENTS,
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
            "organization_id": erasures.organization_id if erasures else None,
            "known_subjects": list(erasures.subjects) if erasures else [],
        },
    )
    position, is_beyond, _ = inserted.one()
    if is_beyond is False:
        raise PositionsBehindError
    return None if position is None else int(position)


def _violated(error: IntegrityError) -> str | None:
    """The name of the constraint."""
    return getattr(error.orig and error.orig.__cause__, "constraint_name", None)


def _prepare(
    stream_id: UUID, expected_version: int, events: Sequence[NewEvent], metadata: bytes
) -> tuple[list[_Row], list[_Forgettable]]:
    """Everything that can be computed before the lock is held."""
    rows: list[_Row] = []
    forgettable: list[_Forgettable] = []
    for version, (message_id, event) in enumerate(events, start=expected_version + 1):
        plain = take_apart(event)
        if plain.personal is not None:
            kept = _salted(message_id, plain.personal)
            forgettable.append(kept)
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
    return rows, forgettable


def _salted(message_id: UUID, personal: PersonalData) -> _Forgettable:
    salt = secrets.token_bytes(_SALT_BYTES)
    return _Forgettable(message_id, personal.subject, salt, personal.body)


def _links(head: bytes, rows: Sequence[_Row], recorded_at: datetime) -> list[bytes]:
    hashes: list[bytes] = []
    for row in rows:
        head = chain.link(head, row.body_digest, recorded_at)
        hashes.append(head)
    return hashes


async def _enter_inbox(connection: AsyncConnection, message_id: UUID, stream_id: UUID) -> None:
    entered = await connection.execute(
        statements.INSERT_INBOX, {"message_id": message_id, "stream_id": stream_id}
    )
    if entered.rowcount == 0:
        raise AlreadyRecordedError(f"message {message_id} has been dealt with")


async def _move_stream(
    connection: AsyncConnection, stream_id: UUID, expected_version: int, new_version: int
) -> bytes:
    """Claim the versions; returns the hash of the stream's head."""
    if expected_version == 0:
        created = await connection.execute(
            statements.CREATE_STREAM, {"stream_id": stream_id, "new_version": new_version}
        )
        if created.rowcount == 1:
            return chain.GENESIS
        raise StreamMovedError(stream_id, expected_version)
    moved = await connection.execute(
        statements.MOVE_STREAM,
        {
            "stream_id": stream_id,
            "expected_version": expected_version,
            "new_version": new_version,
        },
    )
    row = moved.one_or_none()
    if row is None:
        raise StreamMovedError(stream_id, expected_version)
    head: bytes = row.head
    return head


async def _keep_personal_data(
    connection: AsyncConnection, forgettable: Sequence[_Forgettable]
) -> None:
    await connection.execute(
        statements.INSERT_PERSONAL_DATA,
        {
            "message_ids": [kept.message_id for kept in forgettable],
            "subjects": [kept.subject for kept in forgettable],
            "salts": [kept.salt for kept in forgettable],
            "bodies": [kept.body.decode() for kept in forgettable],
        },
    )


async def _keep_source(connection: AsyncConnection, source: SourceDocument) -> None:
    await connection.execute(
        statements.INSERT_SOURCE,
        {
            "digest": bytes.fromhex(source.digest),
            "size_bytes": len(source.body),
            "body": zlib.compress(source.body, level=6),
        },
    )


async def _keep_snapshot(connection: AsyncConnection, stream_id: UUID, snapshot: Snapshot) -> None:
    await connection.execute(
        statements.PUT_SNAPSHOT, {"stream_id": stream_id, **snapshot._asdict()}
    )

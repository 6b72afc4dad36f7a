"""Sources: the exact documents that runs were decided on, compressed, once per digest.

Holds the statements of `event_store.sources`.
"""

import asyncio
import zlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.unpacking import UnpackingError, unpacked
from eventstore.damage import DamagedDocumentError
from eventstore.driver import Executor
from eventstore.model import SourceDocument

_LEVEL = 1
"""A third of the time of level 6, for 15 % more bytes: the stream is locked meanwhile."""

_PACKING = ThreadPoolExecutor(1, "packing")
"""Its own thread: the stream is locked, so packing does not queue behind other work in threads."""

INSERT_SOURCE = text("""
    INSERT INTO event_store.sources (digest, size_bytes, body)
    VALUES (:digest, :size_bytes, :body)
    ON CONFLICT (digest) DO UPDATE SET kept_at = now()
""")

# The usual case of an unchanged schedule: the document is not compressed and sent again.
RENEW_SOURCE = text("""
    UPDATE event_store.sources SET kept_at = now() WHERE digest = :digest RETURNING digest
""")

READ_SOURCE = text("SELECT size_bytes, body FROM event_store.sources WHERE digest = :digest")

PRUNE_SOURCES = text("""
    DELETE FROM event_store.sources WHERE digest IN (
        SELECT digest FROM event_store.sources
        WHERE kept_at < now() - CAST(:age AS interval)
        ORDER BY digest LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")

COUNT_SOURCES = text("""
    SELECT count(*) FROM event_store.sources
    WHERE CAST(:age AS interval) IS NULL OR kept_at < now() - CAST(:age AS interval)
""")

_SOURCES = """
    SELECT digest FROM event_store.sources
    WHERE digest = ANY(CAST(:documents AS bytea[]))
       OR digest IN (SELECT decode(e.data->'source'->>'digest', 'hex')
                     FROM event_store.events e
                     WHERE e.stream_id = ANY(CAST(:stream_ids AS uuid[]))
                       AND e.type IN ('SyncCompleted', 'SyncFailed'))
    ORDER BY digest
"""
FIND_SOURCES = text(_SOURCES)
LOCK_SOURCES = text(f"{_SOURCES} FOR UPDATE")

DELETE_SOURCES = text("""
    DELETE FROM event_store.sources WHERE digest = ANY(CAST(:digests AS bytea[]))
""")


async def insert_source(connection: Executor, source: SourceDocument) -> None:
    """Store a document, or renew its age if it is stored already."""
    renewed = await connection.execute(RENEW_SOURCE, {"digest": bytes.fromhex(source.digest)})
    if renewed.one_or_none() is not None:
        return
    await connection.execute(
        INSERT_SOURCE,
        {
            "digest": bytes.fromhex(source.digest),
            "size_bytes": len(source.body),
            "body": await asyncio.get_running_loop().run_in_executor(
                _PACKING, _packed, source.body
            ),
        },
    )


def _packed(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL)


async def read_source(connection: AsyncConnection, digest: str) -> bytes | None:
    """Return the document with this SHA-256 (in hex), or None if it is not stored any more.

    It is unpacked no further than to its recorded size.

    Raises:
        DamagedDocumentError: it does not match its digest or its size.
    """
    try:
        key = bytes.fromhex(digest)
    except ValueError:
        raise DamagedDocumentError(digest[:64], "its digest is not a SHA-256 in hex") from None
    row = (await connection.execute(READ_SOURCE, {"digest": key})).one_or_none()
    if row is None:
        return None
    return await asyncio.to_thread(_document_in, row.body or b"", row.size_bytes or 0, digest)


def _document_in(body: bytes, size_bytes: int, digest: str) -> bytes:
    try:
        document = unpacked(body, size_bytes)
    except UnpackingError as error:
        raise DamagedDocumentError(digest, str(error)) from error
    if sha256(document).digest() != bytes.fromhex(digest):
        raise DamagedDocumentError(digest, "its content has another digest")
    return document


async def count_sources(connection: AsyncConnection, age: timedelta | None = None) -> int:
    """Return the number of documents; with `age`, of documents that no run has used since."""
    number: int = (await connection.execute(COUNT_SOURCES, {"age": age})).scalar_one()
    return number


async def prune_sources(connection: AsyncConnection, age: timedelta, limit: int = 1000) -> int:
    """Delete up to `limit` documents that no run has used for this long; return their number.

    A document that a run or an erasure uses at this moment is left to the next call.
    """
    return (await connection.execute(PRUNE_SOURCES, {"age": age, "limit": limit})).rowcount


async def find_sources(
    connection: AsyncConnection,
    documents: Collection[bytes],
    stream_ids: Sequence[UUID],
    *,
    lock: bool = False,
) -> list[bytes]:
    """Return the digests of these documents and of those behind the runs of these streams.

    Only of documents that are stored. With `lock`, nobody else changes them before the commit.
    """
    found = await connection.execute(
        LOCK_SOURCES if lock else FIND_SOURCES,
        {"documents": list(documents), "stream_ids": stream_ids},
    )
    return list(found.scalars())


async def delete_sources(connection: AsyncConnection, digests: Sequence[bytes]) -> None:
    """Delete documents. Their digests stay in the events."""
    await connection.execute(DELETE_SOURCES, {"digests": digests})

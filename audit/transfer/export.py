"""Exporting a log as JSON Lines of CloudEvents, in its stored form, hashes included.

The first line names the log. Then come the events in the order of positions, the erasures, the
answers to erasure requests, and the documents. The last line has the number of each, and the
SHA-256 of all bytes before it. An export is canonical: two exports of the same log are equal byte
for byte. Personal data are in an event's `personal`, with the salt. Erased data are not in an
export.
"""

import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.past.moments import NotInThePastError
from audit.verify import statements
from contracts.canonical import canonical
from contracts.codec import kebab
from eventstore.damage import DamagedDocumentError, NoLogIdentityError
from eventstore.read import READABLE_TIME
from eventstore.stored_events import StoredEvent, stored_event_of
from messaging.cloudevents import CONTENT_TYPE, log_source

FORMAT = "spreaview-log"
FORMAT_VERSION = 2
"""Version 1 had no answers."""

KINDS = ("events", "erasures", "answers", "documents")
"""The kinds of lines. The last line has the number of each."""

_PAGE = 1000
_DOCUMENTS_PAGE = 20

_EVENTS = text(f"""
    SELECT e.stream_id, e.version, e.position, e.message_id, e.type, e.schema_version,
           e.data::text, e.metadata::text, {READABLE_TIME}, e.hash,
           p.subject, p.salt, p.body::text
    FROM event_store.events e
    LEFT JOIN event_store.personal_data p USING (message_id)
    WHERE e.position > :after AND (CAST(:only AS uuid) IS NULL OR e.stream_id = :only)
    ORDER BY e.position
    LIMIT :limit
""")  # noqa: S608 (of constants)

_LOG = text("SELECT log_id FROM event_store.log")

# A role that may not read the key can still export without it.
_KEY = text("SELECT fingerprint_key FROM event_store.log")

_ERASED = text("""
    SELECT subject, organization_id, erasure_id, erased_at
    FROM event_store.erased_subjects
    WHERE CAST(:only AS uuid) IS NULL OR CAST(organization_id AS text) IN (
        SELECT data->>'organization_id' FROM event_store.events WHERE stream_id = :only)
    ORDER BY subject
""")

_ANSWERS = text("""
    SELECT request_id, organization_id, speaker_id, status, streams, reason,
           erased_at AS answered_at
    FROM event_store.erasures
    WHERE CAST(:only AS uuid) IS NULL OR CAST(organization_id AS text) IN (
        SELECT data->>'organization_id' FROM event_store.events WHERE stream_id = :only)
    ORDER BY request_id
""")


class ExportScope(NamedTuple):
    """The contents of an export."""

    only: UUID | None = None
    """One SpreaView event, with the erasures of its organization; None exports everything."""
    documents: bool = True
    """Whether to include the documents behind the runs; an export of one event has none."""
    key: bool = False
    """Whether to include the secret key of the API ID fingerprints.

    Without it the imported log has a key of its own, and every API ID counts as changed once."""


async def export(
    engine: AsyncEngine,
    scope: ExportScope,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> AsyncGenerator[bytes, None]:
    """The lines of an export, from one database snapshot. A role that can only read is enough.

        async with aclosing(export(engine, ExportScope())) as lines:
            async for line in lines: file.write(line)

    Close it, as `aclosing` does: it holds a connection until then, or until the last line.

    `on_progress` is called with the number of events exported so far, and their total.

    Raises:
        NotInThePastError: the log does not know the SpreaView event of the scope.
    """
    digest = hashlib.sha256()
    counts = dict.fromkeys(KINDS, 0)
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        only = {"only": scope.only}
        total = (await connection.execute(statements.COUNT_EVENTS, only)).scalar_one()
        if scope.only is not None and not total:
            raise NotInThePastError(f"The log knows no SpreaView event {scope.only}.")
        async for kind, line in _lines(connection, scope):
            encoded = canonical(line) + b"\n"
            digest.update(encoded)
            if kind:
                counts[kind] += 1
            if kind == "events":
                on_progress(counts["events"], total)
            yield encoded
    yield canonical({"end": counts, "sha256": digest.hexdigest()}) + b"\n"


async def _lines(
    connection: AsyncConnection, scope: ExportScope
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    log_id: UUID | None = (await connection.execute(_LOG)).scalar_one_or_none()
    if log_id is None:
        raise NoLogIdentityError
    first = {"format": FORMAT, "version": FORMAT_VERSION, "log_id": str(log_id)}
    if scope.key:
        key: bytes = (await connection.execute(_KEY)).scalar_one()
        first["fingerprint_key"] = key.hex()
    yield "", first
    after = 0
    while True:
        found = await connection.execute(
            _EVENTS, {"after": after, "only": scope.only, "limit": _PAGE}
        )
        page = [stored_event_of(row) for row in found]
        for event in page:
            yield "events", event_line(event, log_id)
        if len(page) < _PAGE:
            break
        after = page[-1].position
    only = {"only": scope.only}
    for kind, label, statement in (
        ("erasures", "erased", _ERASED),
        ("answers", "answer", _ANSWERS),
    ):
        for row in (await connection.execute(statement, only)).mappings():
            yield kind, {label: {name: _plain(value) for name, value in row.items()}}
    if scope.only is None and scope.documents:
        async for line in _documents(connection):
            yield "documents", line


async def _documents(connection: AsyncConnection) -> AsyncIterator[dict[str, Any]]:
    digest = b""
    while True:
        rows = (
            await connection.execute(
                statements.SOURCES, {"after": digest, "limit": _DOCUMENTS_PAGE}
            )
        ).all()
        for row in rows:
            if row.body is None:
                raise DamagedDocumentError(row.digest.hex(), "it has no content")
            yield {
                "document": {
                    "sha256": row.digest.hex(),
                    "size_bytes": row.size_bytes,
                    "zlib": b64encode(row.body).decode(),
                }
            }
        if len(rows) < _DOCUMENTS_PAGE:
            return
        digest = rows[-1].digest


def event_line(event: StoredEvent, log_id: UUID) -> dict[str, Any]:
    """The line of an event. Raises `OverflowError` for a time beyond the calendar."""
    line: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event.message_id),
        "source": log_source(log_id),
        "type": f"com.spreaview.import.{kebab(event.type)}.v{event.schema_version}",
        "time": _plain(event.recorded_at),
        "datacontenttype": CONTENT_TYPE,
        "partitionkey": str(event.stream_id),
        "position": event.position,
        "streamversion": event.version,
        "eventtype": event.type,
        "schemaversion": event.schema_version,
        "hash": event.hash.hex(),
        "metadata": msgspec.json.decode(event.metadata),
        "data": msgspec.json.decode(event.data),
    }
    if event.personal is not None and event.salt is not None:
        line["personal"] = {
            "subject": str(event.subject),
            "salt": event.salt.hex(),
            "body": msgspec.json.decode(event.personal),
        }
    return line


def _plain(value: object) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int) else str(value)

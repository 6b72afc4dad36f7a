"""Importing an export into an empty database: the same log, or nothing."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.transfer.export import FORMAT, FORMAT_VERSION, document_bytes
from contracts.canonical import canonical
from contracts.events import TERMINAL_TYPES
from eventstore import chain

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


class ImportRefusedError(Exception):
    """The export was not imported, and nothing has changed; the text says why."""


class ImportResult(NamedTuple):
    """The contents of the log after an import."""

    log_id: UUID
    events: int
    documents: int

    def to_json(self) -> dict[str, object]:
        """The result as JSON values."""
        return {"log_id": str(self.log_id), "events": self.events, "documents": self.documents}


async def import_log(engine: AsyncEngine, lines: Iterable[bytes]) -> ImportResult:
    """Make an empty log the one that was exported, in one transaction.

    Raises:
        ImportRefusedError: the log is not empty, or a line is damaged, missing or too many; it is
            named by its number.
    """
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        if not (await connection.execute(_IS_EMPTY)).scalar_one():
            raise ImportRefusedError(
                "the log is not empty. Remedy: import into a database of its own, made by "
                "spreaview-sync migrate"
            )
        reader = _Reader(connection)
        for number, line in enumerate(lines, start=1):
            try:
                await reader.take(line)
            except (ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
                raise ImportRefusedError(f"line {number}: {error}") from error
        return await reader.end()


class _Reader:
    """Takes an export line by line."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._digest = hashlib.sha256()
        self._log_id: UUID | None = None
        self._counts = {"events": 0, "erasures": 0, "documents": 0}
        self._heads: dict[UUID, tuple[int, bytes]] = {}
        self._batch: list[dict[str, Any]] = []
        self._is_whole = False

    async def take(self, line: bytes) -> None:
        """Read a line. Raises ValueError and others for what is no part of an export."""
        told: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        if self._is_whole:
            raise ValueError("it comes after the end")
        if "end" in told:
            self._finish(told)
            return
        self._digest.update(line)
        if self._log_id is None:
            await self._begin(told)
        elif "data" in told:
            self._check(told)
            self._batch.append(told)
            self._counts["events"] += 1
            if len(self._batch) >= _BATCH:
                await self._flush()
        elif "erased" in told:
            await self._erasure(told["erased"])
        else:
            await self._document(told["document"])

    async def end(self) -> ImportResult:
        """After the last line."""
        if not self._is_whole or self._log_id is None:
            raise ImportRefusedError("its end is missing: the file was cut off")
        await self._flush()
        await self._connection.execute(_INSERT_STREAMS)
        await self._connection.execute(_INSERT_INBOX, {"types": sorted(TERMINAL_TYPES)})
        await self._connection.execute(_MOVE_SEQUENCE)
        return ImportResult(self._log_id, self._counts["events"], self._counts["documents"])

    async def _begin(self, told: dict[str, Any]) -> None:
        if (told.get("format"), told.get("version")) != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"it is no export of format {FORMAT!r}, version {FORMAT_VERSION}")
        self._log_id = UUID(told["log_id"])
        key = told.get("fingerprint_key")
        named = {"log_id": self._log_id, "key": bytes.fromhex(key) if key else None}
        await self._connection.execute(_NAME_LOG, named)

    def _finish(self, told: dict[str, Any]) -> None:
        if told["end"] != self._counts:
            raise ValueError(f"there were {self._counts}, and it counts {told['end']}")
        if told["sha256"] != self._digest.hexdigest():
            raise ValueError("the file is not as it was written: its SHA-256 is another")
        self._is_whole = True

    def _check(self, told: dict[str, Any]) -> None:
        """The event follows its predecessor, by its version and its hash."""
        stream_id = UUID(told["partitionkey"])
        version, head = self._heads.get(stream_id, (0, chain.GENESIS))
        if told["streamversion"] != version + 1:
            raise ValueError(f"version {told['streamversion']} comes after {version}")
        body = chain.body_digest(
            stream_id=stream_id,
            version=told["streamversion"],
            message_id=UUID(told["id"]),
            type=told["eventtype"],
            schema_version=told["schemaversion"],
            data=canonical(told["data"]),
            metadata=canonical(told["metadata"]),
        )
        link = chain.link(head, body, datetime.fromisoformat(told["time"]))
        if link.hex() != told["hash"]:
            raise ValueError(f"the hash of version {version + 1} of stream {stream_id} is wrong")
        self._heads[stream_id] = (version + 1, link)

    async def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        await self._connection.execute(
            _INSERT_EVENTS,
            {
                "positions": [told["position"] for told in batch],
                "stream_ids": [UUID(told["partitionkey"]) for told in batch],
                "versions": [told["streamversion"] for told in batch],
                "message_ids": [UUID(told["id"]) for told in batch],
                "types": [told["eventtype"] for told in batch],
                "schema_versions": [told["schemaversion"] for told in batch],
                "data": [canonical(told["data"]).decode() for told in batch],
                "metadata": [canonical(told["metadata"]).decode() for told in batch],
                "times": [datetime.fromisoformat(told["time"]) for told in batch],
                "hashes": [bytes.fromhex(told["hash"]) for told in batch],
            },
        )
        personal = [told for told in batch if "personal" in told]
        await self._connection.execute(
            _INSERT_PERSONAL_DATA,
            {
                "message_ids": [UUID(told["id"]) for told in personal],
                "subjects": [UUID(told["personal"]["subject"]) for told in personal],
                "salts": [bytes.fromhex(told["personal"]["salt"]) for told in personal],
                "bodies": [canonical(told["personal"]["body"]).decode() for told in personal],
            },
        )

    async def _erasure(self, told: dict[str, Any]) -> None:
        self._counts["erasures"] += 1
        await self._connection.execute(
            _INSERT_ERASURE,
            {
                "subject": UUID(told["subject"]),
                "organization_id": UUID(told["organization_id"]),
                "erasure_id": UUID(told["erasure_id"]),
                "erased_at": datetime.fromisoformat(told["erased_at"]),
            },
        )

    async def _document(self, told: dict[str, Any]) -> None:
        self._counts["documents"] += 1
        await self._connection.execute(
            _INSERT_DOCUMENT,
            {
                "digest": bytes.fromhex(told["sha256"]),
                "size": told["size_bytes"],
                "body": document_bytes(told),
            },
        )

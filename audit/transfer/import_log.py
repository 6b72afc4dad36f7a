"""Importing an export into an empty database: the same log, or nothing."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.transfer.export import FORMAT, FORMAT_VERSION, document_bytes
from contracts.canonical import canonical
from eventstore.load import LogLoader, LogNotEmptyError, StoredErasure
from eventstore.stored_events import StoredEvent


class ImportRefusedError(Exception):
    """The export was not imported, and nothing has changed; the message is the reason."""


class ImportResult(NamedTuple):
    """The contents of the log after an import."""

    log_id: UUID
    events: int
    documents: int

    def to_json(self) -> dict[str, object]:
        """The result as JSON values."""
        return {"log_id": str(self.log_id), "events": self.events, "documents": self.documents}


async def import_log(engine: AsyncEngine, lines: Iterable[bytes]) -> ImportResult:
    """Load an exported log into an empty database, in one transaction.

        with path.open("rb") as file: result = await import_log(engine, file)

    Raises:
        ImportRefusedError: the log is not empty; or a line, named by its number, is damaged,
            missing or one too many.
    """
    async with engine.begin() as connection:
        try:
            reader = _ExportReader(await LogLoader.begin(connection))
        except LogNotEmptyError as error:
            raise ImportRefusedError(
                "the log is not empty. Remedy: import into a database of its own, made by "
                "spreaview-sync migrate"
            ) from error
        for number, line in enumerate(lines, start=1):
            try:
                await reader.take(line)
            except (ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
                raise ImportRefusedError(f"line {number}: {error}") from error
        return await reader.end()


class _ExportReader:
    """Reads an export line by line into a loader."""

    def __init__(self, loader: LogLoader) -> None:
        self._loader = loader
        self._digest = hashlib.sha256()
        self._log_id: UUID | None = None
        self._counts = {"events": 0, "erasures": 0, "documents": 0}
        self._is_whole = False

    async def take(self, line: bytes) -> None:
        """Read a line. Raises ValueError, KeyError or TypeError for a damaged line."""
        content: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        if self._is_whole:
            raise ValueError("it comes after the end")
        if "end" in content:
            self._check_end(content)
            return
        self._digest.update(line)
        if self._log_id is None:
            await self._begin(content)
        elif "data" in content:
            self._counts["events"] += 1
            await self._loader.add_event(_event(content))
        elif "erased" in content:
            self._counts["erasures"] += 1
            await self._loader.add_erasure(_erasure(content["erased"]))
        else:
            document = content["document"]
            self._counts["documents"] += 1
            await self._loader.add_document(
                bytes.fromhex(document["sha256"]), document["size_bytes"], document_bytes(document)
            )

    async def end(self) -> ImportResult:
        """Finish after the last line. Raises `ImportRefusedError` if the end line is missing."""
        if not self._is_whole or self._log_id is None:
            raise ImportRefusedError("its end is missing: the file was cut off")
        await self._loader.finish()
        return ImportResult(self._log_id, self._counts["events"], self._counts["documents"])

    async def _begin(self, content: dict[str, Any]) -> None:
        if (content.get("format"), content.get("version")) != (FORMAT, FORMAT_VERSION):
            raise ValueError(
                f"this is not an export of format {FORMAT!r}, version {FORMAT_VERSION}"
            )
        self._log_id = UUID(content["log_id"])
        key = content.get("fingerprint_key")
        await self._loader.name_log(self._log_id, bytes.fromhex(key) if key else None)

    def _check_end(self, content: dict[str, Any]) -> None:
        if content["end"] != self._counts:
            raise ValueError(f"there were {self._counts}, and it counts {content['end']}")
        if content["sha256"] != self._digest.hexdigest():
            raise ValueError("the file was changed: its SHA-256 is different")
        self._is_whole = True


def _event(content: dict[str, Any]) -> StoredEvent:
    personal = content.get("personal")
    return StoredEvent(
        stream_id=UUID(content["partitionkey"]),
        version=content["streamversion"],
        position=content["position"],
        message_id=UUID(content["id"]),
        type=content["eventtype"],
        schema_version=content["schemaversion"],
        data=canonical(content["data"]).decode(),
        metadata=canonical(content["metadata"]).decode(),
        recorded_at=datetime.fromisoformat(content["time"]),
        hash=bytes.fromhex(content["hash"]),
        subject=UUID(personal["subject"]) if personal else None,
        salt=bytes.fromhex(personal["salt"]) if personal else None,
        personal=canonical(personal["body"]).decode() if personal else None,
    )


def _erasure(content: dict[str, Any]) -> StoredErasure:
    return StoredErasure(
        subject=UUID(content["subject"]),
        organization_id=UUID(content["organization_id"]),
        erasure_id=UUID(content["erasure_id"]),
        erased_at=datetime.fromisoformat(content["erased_at"]),
    )

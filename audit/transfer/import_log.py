"""Importing an export into an empty database: the same log, or nothing."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.transfer.export import FORMAT, FORMAT_VERSION, KINDS, event_line
from audit.transfer.lines import (
    DocumentLine,
    FirstLine,
    LastLine,
    read_answer,
    read_erasure,
    read_event,
)
from contracts.canonical import canonical
from eventstore.load import LogLoader, LogNotEmptyError


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
            with _refusing(f"line {number}: "):
                await reader.take(line)
        with _refusing(""):
            return await reader.end()


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ImportRefusedError(f"{place}it is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise ImportRefusedError(f"{place}{error}") from error


class _ExportReader:
    """Reads an export line by line into a loader."""

    def __init__(self, loader: LogLoader) -> None:
        self._loader = loader
        self._digest = hashlib.sha256()
        self._log_id: UUID | None = None
        self._counts = dict.fromkeys(KINDS, 0)
        self._is_whole = False

    async def take(self, line: bytes) -> None:
        """Read a line.

        Raises:
            ValueError, OverflowError, RecursionError: it is damaged, or does not follow the others.
        """
        content: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        if self._is_whole:
            raise ValueError("it comes after the end")
        if "end" in content:
            self._check_end(msgspec.convert(content, LastLine))
            return
        self._digest.update(line)
        if self._log_id is None:
            await self._begin(msgspec.convert(content, FirstLine))
        elif "data" in content:
            await self._add_event(content, self._log_id, line)
        elif "erased" in content:
            self._counts["erasures"] += 1
            await self._loader.add_erasure(read_erasure(content["erased"]))
        elif "answer" in content:
            self._counts["answers"] += 1
            await self._loader.add_answer(read_answer(content["answer"]))
        elif "document" in content:
            document = msgspec.convert(content["document"], DocumentLine)
            self._counts["documents"] += 1
            digest, body = bytes.fromhex(document.sha256), document.checked_body()
            await self._loader.add_document(digest, document.size_bytes, body)
        else:
            raise ValueError("it is neither an event nor an erasure nor an answer nor a document")

    async def end(self) -> ImportResult:
        """Finish after the last line. Raises `ValueError`, also if the end line is missing."""
        if not self._is_whole or self._log_id is None:
            raise ValueError("its end is missing: the file was cut off")
        await self._loader.finish()
        return ImportResult(self._log_id, self._counts["events"], self._counts["documents"])

    async def _begin(self, first: FirstLine) -> None:
        if first.format != FORMAT or not 1 <= first.version <= FORMAT_VERSION:
            raise ValueError(
                f"this is not an export of format {FORMAT!r}, version {FORMAT_VERSION} or older"
            )
        self._log_id = first.log_id
        key = bytes.fromhex(first.fingerprint_key) if first.fingerprint_key else None
        await self._loader.name_log(self._log_id, key)

    async def _add_event(self, content: dict[str, Any], log_id: UUID, line: bytes) -> None:
        event = read_event(content)
        self._counts["events"] += 1
        await self._loader.add_event(event)
        if canonical(event_line(event, log_id)) != line.rstrip(b"\n"):
            raise ValueError(f"{event.place} is not as an export writes it")

    def _check_end(self, last: LastLine) -> None:
        if dict.fromkeys(KINDS, 0) | last.end != self._counts:
            raise ValueError(f"there were {self._counts}, and it counts {last.end}")
        if last.sha256 != self._digest.hexdigest():
            raise ValueError("the file was changed: its SHA-256 is different")
        self._is_whole = True

"""Reading the lines of an export: their form, and every digest that one line can prove."""

import hashlib
from base64 import b64decode
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, take_apart
from contracts.events import TERMINAL_TYPES, SyncStarted
from contracts.identity import OUTCOME, message_id
from contracts.unpacking import unpacked
from eventstore import chain
from eventstore.erasure_answers import ErasureAnswer
from eventstore.load import StoredErasure
from eventstore.stored_events import StoredEvent

_LARGEST_POSITION = 2**63 - 1
_LARGEST_INTEGER = 2**31 - 1

Instant = Annotated[datetime, Meta(tz=True)]
Position = Annotated[int, Meta(ge=1, le=_LARGEST_POSITION)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
"""SHA-256 in hex."""


class FirstLine(Struct, kw_only=True):
    """The line that names the log."""

    format: str
    version: int
    log_id: UUID
    fingerprint_key: str | None = None


class LastLine(Struct, kw_only=True):
    """The line that counts the others."""

    end: dict[str, int]
    sha256: Digest


class _PersonalPart(Struct, kw_only=True):
    subject: UUID
    salt: str
    body: dict[str, object]


class _EventLine(Struct, kw_only=True):
    id: UUID
    time: Instant
    partitionkey: UUID
    position: Position
    streamversion: Position
    eventtype: str
    schemaversion: Annotated[int, Meta(ge=1, le=_LARGEST_INTEGER)]
    hash: Digest
    metadata: dict[str, object]
    data: dict[str, object]
    personal: _PersonalPart | None = None


class _ErasureLine(Struct, kw_only=True):
    subject: UUID
    organization_id: UUID
    erasure_id: UUID
    erased_at: Instant


class _AnswerLine(Struct, kw_only=True):
    request_id: UUID
    organization_id: UUID
    speaker_id: UUID | None
    status: str
    streams: Annotated[int, Meta(ge=0, le=_LARGEST_INTEGER)]
    reason: str | None
    answered_at: Instant


class DocumentLine(Struct, kw_only=True):
    """A document behind runs, compressed as it is stored."""

    sha256: Digest
    size_bytes: Annotated[int, Meta(ge=0, le=_LARGEST_POSITION)]
    zlib: str

    def checked_body(self) -> bytes:
        """The compressed document. It is unpacked up to its recorded size.

        Raises:
            ValueError: it is damaged, or has another size or digest.
        """
        try:
            body = b64decode(self.zlib, validate=True)
            document = unpacked(body, self.size_bytes)
        except ValueError as error:
            raise ValueError(f"document {self.sha256} cannot be unpacked: {error}") from error
        if len(document) != self.size_bytes:
            raise ValueError(f"document {self.sha256} is not {self.size_bytes} bytes long")
        if hashlib.sha256(document).hexdigest() != self.sha256:
            raise ValueError(f"document {self.sha256} has another digest")
        return body


def read_event(content: dict[str, Any]) -> StoredEvent:
    """The event in a line. Its place in the chain is not checked here.

    Raises:
        ValueError: the line has another form; or the event cannot be read; or its message id or
            its personal data do not fit it.
    """
    line = msgspec.convert(content, _EventLine)
    personal = line.personal
    event = StoredEvent(
        stream_id=line.partitionkey,
        version=line.streamversion,
        position=line.position,
        message_id=line.id,
        type=line.eventtype,
        schema_version=line.schemaversion,
        data=canonical(line.data).decode(),
        metadata=canonical(line.metadata).decode(),
        recorded_at=line.time,
        hash=bytes.fromhex(line.hash),
        subject=personal.subject if personal else None,
        salt=bytes.fromhex(personal.salt) if personal else None,
        personal=canonical(personal.body).decode() if personal else None,
    )
    try:
        _check_content(event, line)
    except ValueError as error:
        raise ValueError(f"{event.place}: {error}") from error
    return event


def _check_content(stored: StoredEvent, line: _EventLine) -> None:
    event = stored.recorded.event
    ends = stored.type in TERMINAL_TYPES
    if ends or isinstance(event, SyncStarted):
        expected = message_id(event.sync_id, OUTCOME if ends else 0)
        if stored.message_id != expected:
            raise ValueError(f"its id is {stored.message_id}, but its run gives it {expected}")
    if stored.personal is None or stored.salt is None:
        return
    digest = chain.personal_digest(stored.salt, stored.personal.encode())
    if line.data.get(PERSONAL_KEY) != {"digest": digest}:
        raise ValueError("its personal data do not match their digest")
    personal = take_apart(event).personal
    if personal is None or personal.subject != stored.subject:
        raise ValueError("its personal data belong to another person")


def read_erasure(content: object) -> StoredErasure:
    """The erasure in a line. Raises `ValueError` if the line has another form."""
    line = msgspec.convert(content, _ErasureLine)
    return StoredErasure(line.subject, line.organization_id, line.erasure_id, line.erased_at)


def read_answer(content: object) -> ErasureAnswer:
    """The answer in a line. Raises `ValueError` if the line has another form."""
    return ErasureAnswer(**msgspec.structs.asdict(msgspec.convert(content, _AnswerLine)))

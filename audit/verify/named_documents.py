"""The documents that the runs in the log name, and the erasures that may have deleted them."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from audit.verify.findings import Place
from audit.verify.raw_events import Content, RawEvent
from contracts.events import TERMINAL_TYPES

_DIGEST_BYTES = 32


@dataclass(slots=True)
class NamedDocument:
    """A document that at least one run names."""

    place: Place
    """The outcome of the newest of these runs."""
    size_bytes: int
    microseconds: int
    """When that outcome was recorded, since 1970."""
    organization_ids: set[UUID] = field(default_factory=set)

    def is_older_than(self, age: timedelta, now: int) -> bool:
        """Whether no run has used it for `age`."""
        return now - self.microseconds > age // timedelta(microseconds=1)


@dataclass(slots=True)
class NamedDocuments:
    """Collected from the events of all streams. Memory holds about 300 bytes per document."""

    by_digest: dict[bytes, NamedDocument] = field(default_factory=dict)
    erased_speakers: dict[UUID, set[UUID]] = field(default_factory=dict)
    """The speakers whose erasure streams record, by organization."""
    erased_requesters: set[UUID] = field(default_factory=set)

    def take(self, raw: RawEvent, content: Content, place: Place) -> str | None:
        """Note the document of an outcome; return a fault of its description."""
        if raw.type not in TERMINAL_TYPES or (source := content.fields.get("source")) is None:
            return None
        digest, size = None, None
        if isinstance(source, dict):
            digest, size = _bytes_of(source.get("digest")), source.get("size_bytes")
        if digest is None:
            return "its data name a document without a readable SHA-256"
        if not isinstance(size, int) or size < 0:
            return "its data name a document without a readable size"
        microseconds = int(raw.microseconds or 0)
        found = self.by_digest.setdefault(digest, NamedDocument(place, size, microseconds))
        if microseconds > found.microseconds:
            found.place, found.microseconds = place, microseconds
        if (organization_id := content.uuid("organization_id")) is not None:
            found.organization_ids.add(organization_id)
        return None

    def add_erasure(self, organization_id: UUID, subject: UUID, *, is_speaker: bool) -> None:
        """Note an erasure that a stream records."""
        if is_speaker:
            self.erased_speakers.setdefault(organization_id, set()).add(subject)
        else:
            self.erased_requesters.add(subject)


def _bytes_of(digest: object) -> bytes | None:
    try:
        found = bytes.fromhex(str(digest))
    except ValueError:
        return None
    return found if len(found) == _DIGEST_BYTES else None

"""Verifying a stream, event by event: hash, order, ids and personal data."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.verify.report import FindingKind, VerificationReport
from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, JsonObject
from contracts.events import TERMINAL_TYPES
from contracts.identity import OUTCOME, message_id
from eventstore import chain
from eventstore.model import Recorded

_A_REQUESTER = UUID(int=0)
"""Stands for every subject that is no speaker."""


class Stored(NamedTuple):
    """An event exactly as it is stored, with the personal data beside it."""

    stream_id: UUID
    version: int
    position: int
    message_id: UUID
    type: str
    schema_version: int
    data: str
    metadata: str
    recorded_at: datetime
    hash: bytes
    subject: UUID | None
    salt: bytes | None
    personal: str | None

    @property
    def recorded(self) -> Recorded:
        """The event as readers of the log have it."""
        return Recorded(
            self.position,
            self.stream_id,
            self.version,
            self.message_id,
            self.type,
            self.schema_version,
            self.data,
            self.metadata,
            self.recorded_at,
            self.hash,
            self.personal,
        )


class StreamCheck:
    """Looks at the events of one stream in the order of their versions."""

    def __init__(self, stream_id: UUID, report: VerificationReport) -> None:
        self._stream_id = stream_id
        self._report = report
        self._version = 0
        self._position = 0
        self._head: bytes | None = chain.GENESIS
        """None where the predecessor is missing: then the link cannot be checked."""
        self._gone: dict[UUID, list[tuple[int, int]]] = {}
        """Version and position of events whose personal data are gone, by subject."""
        self._sources: set[bytes] = set()
        self._speakers: set[UUID] = set()

    def take(self, event: Stored) -> None:
        """Look at the next event."""
        if event.version != self._version + 1:
            missing = f"versions {self._version + 1} to {event.version - 1} are not there"
            self._add(FindingKind.MISSING, missing, event)
            self._head = None
        if event.position <= self._position:
            what = f"position {event.position} comes after {self._position}"
            self._add(FindingKind.DISORDERED, what, event)
        data: JsonObject = msgspec.json.decode(event.data, type=dict[str, object])
        self._check_hash(event, data)
        self._check_ids(event, data)
        self._check_personal(event, data)
        if event.type in TERMINAL_TYPES and isinstance(source := data.get("source"), dict):
            self._sources.add(bytes.fromhex(str(source["digest"])))
        self._version, self._position, self._head = event.version, event.position, event.hash
        self._report.checked["events"] += 1

    def end(self) -> Iterator[bytes]:
        """After the last event; gives the digests of the documents that the runs rest on."""
        for places in self._gone.values():
            for version, position in places:
                self._report.add(
                    FindingKind.PERSONAL_DATA,
                    "its personal data are gone, and no erasure says so",
                    stream_id=self._stream_id,
                    version=version,
                    position=position,
                )
        self._report.checked["streams"] += 1
        yield from self._sources

    def _check_hash(self, event: Stored, data: JsonObject) -> None:
        if self._head is None:
            self._report.unchecked["links to an event that is missing"] += 1
            return
        body = chain.body_digest(
            stream_id=event.stream_id,
            version=event.version,
            message_id=event.message_id,
            type=event.type,
            schema_version=event.schema_version,
            data=canonical(data),
            metadata=canonical(msgspec.json.decode(event.metadata)),
        )
        if (expected := chain.link(self._head, body, event.recorded_at)) != event.hash:
            what = f"its hash is {event.hash.hex()[:16]}…, its content gives {expected.hex()[:16]}…"
            self._add(FindingKind.CHANGED, what, event)

    def _check_ids(self, event: Stored, data: JsonObject) -> None:
        ordinal: int | str
        if event.type == "SyncStarted":
            ordinal = 0
        elif event.type in TERMINAL_TYPES:
            ordinal = OUTCOME
        else:
            return
        expected = message_id(UUID(str(data["sync_id"])), ordinal)
        if event.message_id != expected:
            what = f"message id {event.message_id}, for its run it is {expected}"
            self._add(FindingKind.MESSAGE_ID, what, event)

    def _check_personal(self, event: Stored, data: JsonObject) -> None:
        if event.type == "SpeakerErased":
            self._erased(UUID(str(data["speaker_id"])))
            return
        speaker = UUID(str(data["speaker_id"])) if event.type == "SpeakerImported" else None
        if speaker is not None:
            self._speakers.add(speaker)
        kept = data.get(PERSONAL_KEY)
        digest = kept.get("digest") if isinstance(kept, dict) else None
        if event.personal is None or event.salt is None:
            if digest is not None:
                self._gone.setdefault(speaker or _A_REQUESTER, []).append(
                    (event.version, event.position)
                )
                self._report.checked["erased personal data"] += 1
            return
        body = canonical(msgspec.json.decode(event.personal))
        if chain.personal_digest(event.salt, body) != digest:
            self._add(
                FindingKind.PERSONAL_DATA, "its personal data are not those it was made with", event
            )
        elif speaker is not None and event.subject != speaker:
            what = f"its personal data are kept for {event.subject}, it is of {speaker}"
            self._add(FindingKind.PERSONAL_DATA, what, event)
        self._report.checked["personal data"] += 1

    def _erased(self, subject: UUID) -> None:
        """Who is no speaker of the stream has asked for runs; which, only their name would tell."""
        self._gone.pop(subject if subject in self._speakers else _A_REQUESTER, None)

    def _add(self, kind: FindingKind, what: str, event: Stored) -> None:
        self._report.add(
            kind,
            what,
            stream_id=event.stream_id,
            version=event.version,
            position=event.position,
        )

"""Verifying the chain of a stream: hash, order, ids and personal data of every event."""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from audit.verify.report import FindingKind, VerificationReport
from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY, JsonObject
from contracts.events import TERMINAL_TYPES
from contracts.identity import OUTCOME, message_id
from eventstore import chain
from eventstore.stored_events import StoredEvent

_REQUESTERS = UUID(int=0)
"""Stands for all subjects that are not speakers."""


class ChainCheck:
    """Checks the events of one stream, in the order of their versions."""

    def __init__(self, stream_id: UUID, report: VerificationReport) -> None:
        self._stream_id = stream_id
        self._report = report
        self._version = 0
        self._position = 0
        self._head: bytes | None = chain.GENESIS
        """The predecessor's hash; None if the predecessor is missing."""
        self._gone: dict[UUID, list[tuple[int, int]]] = {}
        """(version, position) of events whose personal data are gone, by subject."""
        self._sources: set[bytes] = set()
        self._speakers: set[UUID] = set()

    def take(self, event: StoredEvent) -> None:
        """Check the next event."""
        if event.version != self._version + 1:
            missing = f"versions {self._version + 1} to {event.version - 1} are missing"
            self._add(FindingKind.MISSING, missing, event)
            self._head = None
        if event.position <= self._position:
            what = f"position {event.position} comes after {self._position}"
            self._add(FindingKind.DISORDERED, what, event)
        data: JsonObject = msgspec.json.decode(event.data, type=dict[str, object])
        self._check_hash(event)
        self._check_ids(event, data)
        self._check_personal(event, data)
        if event.type in TERMINAL_TYPES and isinstance(source := data.get("source"), dict):
            self._sources.add(bytes.fromhex(str(source["digest"])))
        self._version, self._position, self._head = event.version, event.position, event.hash
        self._report.checked["events"] += 1

    def end(self) -> Iterator[bytes]:
        """Finish after the last event. Returns the digests of the runs' documents."""
        for events in self._gone.values():
            for version, position in events:
                self._report.add(
                    FindingKind.PERSONAL_DATA,
                    "its personal data are gone without an erasure",
                    stream_id=self._stream_id,
                    version=version,
                    position=position,
                )
        self._report.checked["streams"] += 1
        yield from self._sources

    def _check_hash(self, event: StoredEvent) -> None:
        if self._head is None:
            self._report.unchecked["links to an event that is missing"] += 1
            return
        if (expected_hash := event.hash_after(self._head)) != event.hash:
            found, expected = event.hash.hex()[:16], expected_hash.hex()[:16]
            what = f"its hash is {found}…, but its content gives {expected}…"
            self._add(FindingKind.CHANGED, what, event)

    def _check_ids(self, event: StoredEvent, data: JsonObject) -> None:
        ordinal: int | str
        if event.type == "SyncStarted":
            ordinal = 0
        elif event.type in TERMINAL_TYPES:
            ordinal = OUTCOME
        else:
            return
        expected = message_id(UUID(str(data["sync_id"])), ordinal)
        if event.message_id != expected:
            what = f"its message id is {event.message_id}, but its run gives {expected}"
            self._add(FindingKind.MESSAGE_ID, what, event)

    def _check_personal(self, event: StoredEvent, data: JsonObject) -> None:
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
                self._gone.setdefault(speaker or _REQUESTERS, []).append(
                    (event.version, event.position)
                )
                self._report.checked["erased personal data"] += 1
            return
        body = canonical(msgspec.json.decode(event.personal))
        if chain.personal_digest(event.salt, body) != digest:
            self._add(FindingKind.PERSONAL_DATA, "its personal data do not match its digest", event)
        elif speaker is not None and event.subject != speaker:
            what = f"its personal data belong to {event.subject}, but its speaker is {speaker}"
            self._add(FindingKind.PERSONAL_DATA, what, event)
        self._report.checked["personal data"] += 1

    def _erased(self, subject: UUID) -> None:
        """Excuse the missing personal data of an erased person.

        A subject that is not a speaker of the stream is a requester. Their id cannot be matched
        with runs, because it is derived from the name that was erased: all requesters are excused.
        """
        self._gone.pop(subject if subject in self._speakers else _REQUESTERS, None)

    def _add(self, kind: FindingKind, what: str, event: StoredEvent) -> None:
        self._report.add(
            kind,
            what,
            stream_id=event.stream_id,
            version=event.version,
            position=event.position,
        )

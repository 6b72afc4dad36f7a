"""Verifying the personal data of a stream's events: digests, subjects, and erasures."""

from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.verify.findings import FindingKind, Place
from audit.verify.raw_events import Content, RawEvent
from audit.verify.report import VerificationReport
from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY
from contracts.events import SpeakerErased, SpeakerImported, SyncStarted
from contracts.identity import requester_subject
from eventstore import chain

_REQUESTERS = UUID(int=0)
"""Stands for all subjects that are not speakers."""


class _Kept(NamedTuple):
    """Personal data that are stored, to be compared with later erasures."""

    subject: UUID | None
    place: Place


class PersonCheck:
    """Checks the personal data of one stream, in the order of its events.

    Memory holds one place for each event with personal data, until the stream ends.
    """

    def __init__(self, report: VerificationReport) -> None:
        self._report = report
        self._gone: dict[UUID, list[Place]] = {}
        """Events whose personal data are gone, by subject."""
        self._kept: list[_Kept] = []
        self._speakers: set[UUID] = set()
        self.erased: dict[UUID, bool] = {}
        """The persons whose erasure the stream records; whether each is one of its speakers."""

    def take(self, raw: RawEvent, content: Content, place: Place) -> None:
        """Check the next event."""
        if raw.type == SpeakerErased.__name__:
            if (subject := content.uuid("speaker_id")) is not None:
                self._erase(subject)
            return
        speaker = content.uuid("speaker_id") if raw.type == SpeakerImported.__name__ else None
        if speaker is not None:
            self._speakers.add(speaker)
        recorded = content.fields.get(PERSONAL_KEY)
        digest = recorded.get("digest") if isinstance(recorded, dict) else None
        if raw.has_personal:
            self._check(raw, content, place, digest, speaker)
        elif recorded is not None:
            self._gone.setdefault(speaker or _REQUESTERS, []).append(place)
            self._report.checked["erased personal data"] += 1

    def end(self) -> None:
        """Finish after the last event."""
        for places in self._gone.values():
            for place in places:
                what = "its personal data are gone without an erasure"
                self._report.add(FindingKind.PERSONAL_DATA, what, place)

    def _check(
        self, raw: RawEvent, content: Content, place: Place, digest: object, speaker: UUID | None
    ) -> None:
        self._report.checked["personal data"] += 1
        self._kept.append(_Kept(raw.subject, place))
        try:
            body = msgspec.json.decode(raw.personal or "", type=dict[str, object])
            found = chain.personal_digest(raw.salt or b"", canonical(body))
        except Exception:  # of any type, as for the data of an event
            what = "its personal data cannot be read"
            self._report.add(FindingKind.UNREADABLE, what, place)
            return
        if found != digest:
            what = "its personal data do not match its digest"
            self._report.add(FindingKind.PERSONAL_DATA, what, place)
        subject = speaker
        if raw.type == SyncStarted.__name__:
            subject = _requester(content, body.get("requested_by"))
        if raw.subject != subject:
            what = "its personal data are filed under another person, so no erasure finds them"
            self._report.add(FindingKind.PERSONAL_DATA, what, place)

    def _erase(self, subject: UUID) -> None:
        """Excuse the missing personal data of an erased person; report data that are there.

        A subject that is not a speaker of the stream is a requester. Their id cannot be matched
        with runs, because it is derived from the name that was erased: all requesters are excused.
        """
        is_speaker = subject in self._speakers
        self.erased[subject] = is_speaker
        self._gone.pop(subject if is_speaker else _REQUESTERS, None)
        for kept in self._kept:
            if kept.subject == subject:
                what = "its personal data are stored, although the log records their erasure"
                self._report.add(FindingKind.FORGOTTEN, what, kept.place)


def _requester(content: Content, name: object) -> UUID | None:
    organization_id = content.uuid("organization_id")
    if organization_id is None or not isinstance(name, str):
        return None
    return requester_subject(organization_id, name)

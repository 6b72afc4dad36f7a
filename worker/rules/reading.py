"""Reading a document: from the bytes that Sessionize sent to the schedule that is decided on."""

from collections.abc import Set
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from contracts import identity
from contracts.codec import PERSONAL_FIELDS
from contracts.events import SpeakerImported
from worker.rules.document import parse_document
from worker.rules.normalise import normalise
from worker.rules.schedule import Schedule

_WITHOUT_PERSONAL_FIELDS = dict.fromkeys(PERSONAL_FIELDS[SpeakerImported.__name__])


class Reading(NamedTuple):
    """A document as the decision sees it."""

    schedule: Schedule
    """Erased speakers are in it, without personal fields."""
    names_erased: bool
    """Whether the document lists an erased speaker, even in an unreadable element."""


def read_document(
    body: bytes,
    *,
    organization_id: UUID,
    spreaview_event_id: UUID,
    zone: ZoneInfo,
    erased: Set[UUID] = frozenset(),
) -> Reading:
    """Parse and normalise a document, and drop the personal fields of erased speakers.

        schedule = read_document(body, organization_id=…, spreaview_event_id=…, zone=zone).schedule

    `erased` are ids of speakers; wall times in the document are in `zone`.

    Raises:
        SyncFailure: `endpoint_not_json` or `unexpected_document`.
    """
    schedule = normalise(
        parse_document(body),
        organization_id=organization_id,
        spreaview_event_id=spreaview_event_id,
        zone=zone,
    )
    return Reading(_without(erased, schedule), _names_one_of(erased, schedule, organization_id))


def _names_one_of(erased: Set[UUID], schedule: Schedule, organization_id: UUID) -> bool:
    keys = schedule.speakers.keys() | schedule.invalid_speakers
    return bool(erased) and any(identity.speaker_id(organization_id, key) in erased for key in keys)


def _without(erased: Set[UUID], schedule: Schedule) -> Schedule:
    nameless = {
        key: msgspec.structs.replace(speaker, **_WITHOUT_PERSONAL_FIELDS)
        for key, speaker in schedule.speakers.items()
        if speaker.speaker_id in erased
    }
    return schedule._replace(speakers=schedule.speakers | nameless) if nameless else schedule

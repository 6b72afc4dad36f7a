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
from worker.rules.spelling import canonical_id, spellings_of

_WITHOUT_PERSONAL_FIELDS = dict.fromkeys(PERSONAL_FIELDS[SpeakerImported.__name__])


class Reading(NamedTuple):
    """A document as the decision sees it."""

    schedule: Schedule
    """Erased speakers are in it, without personal fields."""
    names_erased: bool
    """Whether the document lists an erased speaker, in any spelling of the id."""


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
    erased_keys = _erased_keys(erased, schedule, organization_id)
    return Reading(_without(erased_keys, schedule), names_erased=bool(erased_keys))


def _erased_keys(erased: Set[UUID], schedule: Schedule, organization_id: UUID) -> frozenset[str]:
    """The listed speakers who are erased in some spelling of their id."""
    if not erased:
        return frozenset()
    spelled = {spelling for key in schedule.speakers for spelling in spellings_of(key)}
    return frozenset(
        canonical_id(spelling)
        for spelling in spelled | schedule.speaker_spellings
        if identity.speaker_id(organization_id, spelling) in erased
    )


def _without(keys: Set[str], schedule: Schedule) -> Schedule:
    if not keys:
        return schedule
    return schedule._replace(
        speakers={
            key: msgspec.structs.replace(speaker, **_WITHOUT_PERSONAL_FIELDS)
            if key in keys
            else speaker
            for key, speaker in schedule.speakers.items()
        },
        speaker_readings={
            key: readings for key, readings in schedule.speaker_readings.items() if key not in keys
        },
    )

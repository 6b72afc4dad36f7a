"""People who asked to be forgotten stay in the schedule, without a personal field."""

from collections.abc import Set
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts import identity
from contracts.codec import PERSONAL_FIELDS
from contracts.events import Speaker, SpeakerImported
from worker.rules.schedule import Schedule

_NOTHING = dict.fromkeys(PERSONAL_FIELDS[SpeakerImported.__name__])


def names(schedule: Schedule, organization_id: UUID, people: Set[UUID]) -> bool:
    """Whether a document tells of one of these speakers, be it in an element that is not read."""
    keys = schedule.speakers.keys() | schedule.invalid_speakers
    return bool(people) and any(identity.speaker_id(organization_id, key) in people for key in keys)


class Forgotten(NamedTuple):
    """A schedule without what must not be known any more."""

    schedule: Schedule
    names_somebody: bool
    """Whether the document tells of one of them: it must not be kept then."""


def forget(schedule: Schedule, organization_id: UUID, erased: Set[UUID]) -> Forgotten:
    """Take the personal fields of the erased speakers out of a schedule."""
    names_somebody = names(schedule, organization_id, erased)
    named = {key: s for key, s in schedule.speakers.items() if s.speaker_id in erased}
    if not named:
        return Forgotten(schedule, names_somebody)
    without: dict[str, Speaker] = {
        key: msgspec.structs.replace(speaker, **_NOTHING) for key, speaker in named.items()
    }
    return Forgotten(schedule._replace(speakers=schedule.speakers | without), names_somebody)

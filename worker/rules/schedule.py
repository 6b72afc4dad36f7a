"""A schedule in SpreaView's terms: the result of reading a document, the input of deciding."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from contracts.events import Room, Speaker, SyncWarning, Topic

E = TypeVar("E", covariant=True)


class PlannedSession(NamedTuple):
    """A session of a document; references are Sessionize ids."""

    sessionize_id: str
    title: str
    abstract: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    room: str | None
    speakers: tuple[str, ...]
    is_service_session: bool
    is_plenum_session: bool
    live_url: str | None
    recording_url: str | None
    status: str | None = None
    """Sessionize's own word, such as Accepted or Declined."""
    topics: tuple[Topic, ...] | None = None
    """None if they cannot be read."""
    unknown_topics: tuple[str, ...] = ()
    """Items that the session refers to and that no category lists."""


class Reading(NamedTuple, Generic[E]):
    """An element of a document, and the names of its fields that cannot be read.

    Such a field is null here, or 0 or false; an imported entity keeps its last value of it.
    """

    entity: E
    unreadable: frozenset[str] = frozenset()


class Schedule(NamedTuple):
    """A document, normalised; keyed by Sessionize id, in the document's order."""

    sessions: dict[str, PlannedSession]
    """The first of each id that can be read."""
    rooms: dict[str, Room]
    speakers: dict[str, Speaker]
    invalid_sessions: frozenset[str]
    """Sessions that the document lists but that cannot be read."""
    warnings: tuple[SyncWarning, ...]
    listed: int
    """Number of sessions in the document, readable or not."""
    invalid_fields: Mapping[str, tuple[str, ...]] = {}
    """By invalid session: the fields that cannot be read, in the contract's terms."""
    session_readings: Mapping[str, tuple[Reading[PlannedSession], ...]] = {}
    """Sessions that are listed several times or have fields that cannot be read."""
    room_readings: Mapping[str, tuple[Reading[Room], ...]] = {}
    speaker_readings: Mapping[str, tuple[Reading[Speaker], ...]] = {}
    speaker_spellings: frozenset[str] = frozenset()
    """Ids of speakers as the document spells them, where that is not our spelling."""

    def all_sessions(self) -> Iterator[PlannedSession]:
        """Yield every readable session, even if its id is listed several times."""
        for key, first in self.sessions.items():
            if readings := self.session_readings.get(key):
                yield from (reading.entity for reading in readings)
            else:
                yield first

    def unreadable_fields(self, kind: str, key: str) -> tuple[str, ...]:
        """Return the fields of a readable element that cannot be read and keep their last value.

        Of an element that is listed several times it is the first, unless one has been chosen.
        """
        if kind == "session":
            readings: Sequence[Reading[object]] = self.session_readings.get(key, ())
        elif kind == "room":
            readings = self.room_readings.get(key, ())
        else:
            readings = self.speaker_readings.get(key, ())
        return tuple(sorted(readings[0].unreadable)) if readings else ()

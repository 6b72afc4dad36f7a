"""The findings of a verification: their kinds, and the place of each."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec


class FindingKind(StrEnum):
    """The kinds of findings, in the order in which a report lists them."""

    LOG = "log"
    """The row of the log is missing, or a checkpoint or a seal is of another log."""
    UNREADABLE = "unreadable"
    """A row cannot be read, or a newer program wrote it."""
    CHANGED = "changed"
    """An event does not match its hash, or its hash does not follow its predecessor's."""
    MISSING = "missing"
    """Versions of a stream are missing, or exist twice."""
    DISORDERED = "disordered"
    """Positions do not rise with the versions, or times fall, or a time is in the future."""
    HEAD = "head"
    """A stream's head is not its last event."""
    MESSAGE_ID = "message_id"
    """The message id of an event is not the one derived from its run and its ordinal."""
    RUN = "run"
    """An event is outside a run, or a run does not have one start and one end."""
    INBOX = "inbox"
    """The inbox does not have exactly the requests whose outcomes are in the log."""
    SEAL = "seal"
    """A sealed event is missing or differs: the tail was cut, or the chain was rebuilt."""
    CHECKPOINT = "checkpoint"
    """A checkpoint or an unpublished event names an event that the log does not have."""
    PERSONAL_DATA = "personal_data"
    """Personal data do not match the event's digest, or are gone without an erasure."""
    FORGOTTEN = "forgotten"
    """Data of an erased person are in the database again."""
    SOURCE = "source"
    """A document is gone without a reason, does not match its digest, or no run names it."""
    SNAPSHOT = "snapshot"
    """A snapshot differs from the fold of its events."""
    GUARD = "guard"
    """A definition in the database is not the one that the migrations make."""
    READ_MODEL = "read_model"
    """A row differs from the row that the events give."""
    READ_SIDE = "read_side"
    """The views do not show the newest state of the live generation."""


class Place(NamedTuple):
    """The place of a finding. A part is None if it is damaged or does not apply."""

    stream_id: UUID | None = None
    version: int | None = None
    position: int | None = None
    event_type: str | None = None
    sync_id: UUID | None = None
    """The run of the event."""
    recorded_at: str | None = None
    """In UTC, as text: the time may be beyond the calendar."""

    def __str__(self) -> str:
        """The known parts in words."""
        parts = (
            ("stream", self.stream_id),
            ("version", self.version),
            ("position", self.position),
            ("", self.event_type),
            ("run", self.sync_id),
            ("of", self.recorded_at),
        )
        return " ".join(f"{name} {value}".strip() for name, value in parts if value is not None)


NOWHERE = Place()


class VerificationFinding(NamedTuple):
    """One fault."""

    kind: FindingKind
    place: Place
    what: str
    """A sentence: what was expected, and what was found. It quotes no personal value."""

    def __str__(self) -> str:
        """The finding as one line of text."""
        where = str(self.place)
        return f"{where}: {self.what}" if where else self.what

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts by kind, stream, version, position, then text."""
        stream, version, position = self.place[:3]
        return (
            _ORDER[self.kind],
            str(stream or ""),
            -1 if version is None else version,
            -1 if position is None else position,
            self.what,
        )

    def to_json(self) -> dict[str, object]:
        """The finding as JSON values."""
        place: dict[str, object] = msgspec.to_builtins(self.place._asdict())
        return {"kind": self.kind.value, **place, "what": self.what}


_ORDER = {kind: number for number, kind in enumerate(FindingKind)}

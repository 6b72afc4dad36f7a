"""The decider's bench: given documents imported before, when one more comes, then these events.

    given(document(talk("1"))).when(document(talk("2"))).changes == ["SessionWithdrawn 1 …", …]

Documents go through the same reading and normalising as in a run;
past events go through their stored form, as they do when they are read from the log.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from contracts.canonical import canonical
from contracts.codec import JsonObject, join, take_apart, to_event
from contracts.events import ImportEvent, Source, SyncCompleted, SyncStarted
from contracts.messages import Window, mask_api_id
from tests.support.documents import WINDOW
from worker.rules.decide import decide
from worker.rules.placement import ImportCommand
from worker.rules.reading import read_document
from worker.rules.schedule import Schedule
from worker.rules.state import State, fold
from worker.rules.window import bounds_of, zone_of

ORGANIZATION = UUID("00000000-0000-4000-8000-00000000aaaa")
EVENT = UUID("00000000-0000-4000-8000-00000000bbbb")
SOURCE = Source(
    digest="ab" * 32, size_bytes=1, fetched_at=datetime(2026, 5, 20, tzinfo=UTC), fetch_ms=2
)
E = TypeVar("E", bound=ImportEvent)


def schedule_of(source: JsonObject | bytes, window: Window = WINDOW) -> Schedule:
    """The schedule that a document means."""
    body = source if isinstance(source, bytes) else json.dumps(source).encode()
    return read_document(
        body, organization_id=ORGANIZATION, spreaview_event_id=EVENT, zone=zone_of(window)
    ).schedule


@dataclass(frozen=True)
class Outcome:
    """What a run appends."""

    events: list[ImportEvent]

    @property
    def changes(self) -> list[str]:
        """A line for every event but `SyncCompleted`, which is the last one."""
        assert isinstance(self.events[-1], SyncCompleted)
        return [_line(event) for event in self.events[:-1]]

    @property
    def completed(self) -> SyncCompleted:
        return self.the(SyncCompleted)

    @property
    def warnings(self) -> list[str]:
        """`code ids` of each."""
        return [" ".join((w.code, *w.sessionize_ids)) for w in self.completed.warnings]

    def all(self, event_type: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, event_type)]

    def the(self, event_type: type[E]) -> E:
        """The only event of a type."""
        (event,) = self.all(event_type)
        return event


@dataclass(frozen=True)
class Asked:
    """What a request may say beside the window."""

    force: bool = False
    allow_removals: int | None = None
    api_id: str = "abcd1234"


@dataclass(frozen=True)
class History:
    """A stream."""

    events: list[ImportEvent] = field(default_factory=list)
    runs: int = 0

    @property
    def state(self) -> State:
        return fold(_read_back(event) for event in self.events)

    def when(
        self, source: JsonObject | bytes, window: Window = WINDOW, asked: Asked = Asked()
    ) -> Outcome:
        """The outcome of one more run. Raises `Refusal` if it fails."""
        schedule = schedule_of(source, window)
        return Outcome(decide(self.state, schedule, self.order(window, asked), SOURCE, 3))

    def after(
        self, source: JsonObject | bytes, window: Window = WINDOW, asked: Asked = Asked()
    ) -> "History":
        """The stream with the events of that run appended, `SyncStarted` first."""
        started = self._started(self.order(window, asked), window, asked)
        outcome = self.when(source, window, asked).events
        return History([*self.events, started, *outcome], self.runs + 1)

    def edited(self, edit: Callable[[ImportEvent], ImportEvent]) -> "History":
        """The stream as if its events had been written differently."""
        return History([edit(event) for event in self.events], self.runs)

    def order(self, window: Window = WINDOW, asked: Asked = Asked()) -> ImportCommand:
        """The request of the next run, an hour after the one before."""
        return ImportCommand(
            sync_id=UUID(int=self.runs + 1),
            organization_id=ORGANIZATION,
            spreaview_event_id=EVENT,
            bounds=bounds_of(window),
            ordered_at=datetime(2026, 5, 20, tzinfo=UTC) + timedelta(hours=self.runs),
            force=asked.force,
            allow_removals=asked.allow_removals,
            api_id_fingerprint=f"fingerprint of {asked.api_id}",
        )

    def _started(self, order: ImportCommand, window: Window, asked: Asked) -> SyncStarted:
        return SyncStarted(
            sync_id=order.sync_id,
            organization_id=order.organization_id,
            spreaview_event_id=order.spreaview_event_id,
            ordered_at=order.ordered_at,
            requested_at=order.ordered_at,
            window=window,
            force=asked.force,
            allow_removals=asked.allow_removals,
            api_id_masked=mask_api_id(asked.api_id),
            api_id_fingerprint=order.api_id_fingerprint,
            worker_version="1",
        )


def given(*sources: JsonObject | bytes, window: Window = WINDOW) -> History:
    """The stream after these documents were imported, one after the other."""
    history = History()
    for source in sources:
        history = history.after(source, window)
    return history


def _read_back(event: ImportEvent) -> ImportEvent:
    plain = take_apart(event)
    personal = plain.personal.body.decode() if plain.personal else None
    return to_event(
        plain.type,
        join(plain.type, plain.schema_version, canonical(plain.data).decode(), personal),
    )


def _line(event: ImportEvent) -> str:
    """`RoomImported 7 updated: name`, `SessionWithdrawn 1 missing_from_source, was imported`."""
    words = [type(event).__name__, getattr(event, "sessionize_id", "")]
    words += [getattr(event, name) for name in ("change", "reason") if hasattr(event, name)]
    details = getattr(event, "changed_fields", ()) or getattr(event, "missing", ())
    line = " ".join(words) + (f": {', '.join(details)}" if details else "")
    return line + (", was imported" if getattr(event, "was_imported", False) else "")

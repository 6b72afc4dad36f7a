"""Given / when / then for `decide`: documents imported before, one more document, its events.

    given(document(talk("1"))).when(document(talk("2"))).changes == ["SessionWithdrawn 1 …", …]

Documents are read as in a run. Past events pass through their stored form, as in the log.
"""

import json
from collections.abc import Callable, Set
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


def schedule_of(
    source: JsonObject | bytes, window: Window = WINDOW, erased: Set[UUID] = frozenset()
) -> Schedule:
    """Read a document as a run does."""
    body = source if isinstance(source, bytes) else json.dumps(source).encode()
    return read_document(
        body,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        zone=zone_of(window),
        erased=erased,
    ).schedule


@dataclass(frozen=True)
class Outcome:
    """The events of a run."""

    events: list[ImportEvent]

    @property
    def changes(self) -> list[str]:
        """A line for each event except `SyncCompleted`, the last one."""
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
class RequestOptions:
    """The optional fields of a request."""

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
        self,
        source: JsonObject | bytes,
        window: Window = WINDOW,
        options: RequestOptions = RequestOptions(),
    ) -> Outcome:
        """The outcome of one more run. Raises `SyncFailure`."""
        schedule = schedule_of(source, window)
        return Outcome(decide(self.state, schedule, self.command(window, options), SOURCE, 3))

    def after(
        self,
        source: JsonObject | bytes,
        window: Window = WINDOW,
        options: RequestOptions = RequestOptions(),
    ) -> "History":
        """The stream after that run, with its `SyncStarted`."""
        started = self._started(self.command(window, options), window, options)
        outcome = self.when(source, window, options).events
        return History([*self.events, started, *outcome], self.runs + 1)

    def edited(self, edit: Callable[[ImportEvent], ImportEvent]) -> "History":
        """The stream with edited events."""
        return History([edit(event) for event in self.events], self.runs)

    def command(
        self, window: Window = WINDOW, options: RequestOptions = RequestOptions()
    ) -> ImportCommand:
        """The command of the next run, an hour after the previous one."""
        return ImportCommand(
            sync_id=UUID(int=self.runs + 1),
            organization_id=ORGANIZATION,
            spreaview_event_id=EVENT,
            bounds=bounds_of(window),
            ordered_at=datetime(2026, 5, 20, tzinfo=UTC) + timedelta(hours=self.runs),
            force=options.force,
            allow_removals=options.allow_removals,
            api_id_fingerprint=f"fingerprint of {options.api_id}",
        )

    def _started(
        self, command: ImportCommand, window: Window, options: RequestOptions
    ) -> SyncStarted:
        return SyncStarted(
            sync_id=command.sync_id,
            organization_id=command.organization_id,
            spreaview_event_id=command.spreaview_event_id,
            ordered_at=command.ordered_at,
            requested_at=command.ordered_at,
            window=window,
            force=options.force,
            allow_removals=options.allow_removals,
            api_id_masked=mask_api_id(options.api_id),
            api_id_fingerprint=command.api_id_fingerprint,
            worker_version="1",
        )


def given(*sources: JsonObject | bytes, window: Window = WINDOW) -> History:
    """The stream after importing these documents in turn."""
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

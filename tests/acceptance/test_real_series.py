"""Real schedules as they changed, state by state: the events tell exactly what changed.

What they have to tell is computed here from the two documents, without the product's rules.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from contracts.messages import Window
from eventstore.model import Recorded
from tests.support.corpus import CORPUS, expected, in_window, load, needs_corpus
from tests.support.line import Line, a_request, the_line
from tests.support.views import imported

pytestmark = [needs_corpus, pytest.mark.asyncio]

SERIES = {
    "gab-linz-2020": ("2020-04-24", "2020-04-24", "Europe/Vienna", 18),
    "reactconf-2025": ("2025-10-07", "2025-10-08", "America/Los_Angeles", 1),
}
KINDS = {"sessions": "Session", "speakers": "Speaker", "rooms": "Room"}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as line:
        yield line


class Told(NamedTuple):
    """What happened to the entities of one kind: ids, and for updates the fields."""

    imported: dict[str, tuple[str, frozenset[str]]]
    withdrawn: frozenset[str]


def difference(before: dict[str, Any], after: dict[str, Any], ever: set[str]) -> Told:
    """What has to be told of one kind of entity."""
    told: dict[str, tuple[str, frozenset[str]]] = {}
    for key, entity in after.items():
        if key not in before:
            told[key] = ("restored" if key in ever else "added", frozenset())
        elif changed := _changed(before[key], entity):
            told[key] = ("updated", changed)
    return Told(told, frozenset(before.keys() - after.keys()))


def _changed(before: dict[str, Any], after: dict[str, Any]) -> frozenset[str]:
    names = {"room": "room_id", "speakers": "speaker_ids"}

    def value(entity: dict[str, Any], field: str) -> object:
        return set(entity[field]) if field == "speakers" else entity[field]

    return frozenset(names.get(f, f) for f in after if value(before, f) != value(after, f))


def told(events: list[Recorded], kind: str) -> Told:
    """What the events of one run say about one kind of entity."""
    name = KINDS[kind]
    imported: dict[str, tuple[str, frozenset[str]]] = {}
    gone: set[str] = set()
    for event in events:
        data: dict[str, Any] = event.data
        if event.type == f"{name}Imported":
            fields = data["changed_fields"] if data["change"] == "updated" else ()
            imported[data["sessionize_id"]] = (data["change"], frozenset(fields))
        elif event.type.startswith(f"{name}Skipped") or event.type == f"{name}Withdrawn":
            gone |= {data["sessionize_id"]} if data["was_imported"] else set()
    return Told(imported, frozenset(gone))


@pytest.mark.parametrize("series", SERIES)
async def test_the_events_tell_what_changed(line: Line, series: str) -> None:
    first, last, zone, most_removed_at_once = SERIES[series]
    days = (date.fromisoformat(first), date.fromisoformat(last))
    window = Window(starts_on=days[0], ends_on=days[1], time_zone=zone)
    event_id = uuid4()
    shown: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    ever: dict[str, set[str]] = {kind: set() for kind in KINDS}
    codes: dict[str, object] = {}
    largest_removal = 0
    version = 0
    for path in sorted((CORPUS / "series" / series).glob("*.json")):
        document = load(path)
        line.double.serve("theseries", path.read_bytes())
        before_rows = await everything_but_runs(line)
        run = await line.sync(a_request("theseries", window, event_id=event_id))
        events = [r async for r in line.log.read_stream(event_id, after=version)]
        version = events[-1].version
        if all(session["startsAt"] is None for session in document["sessions"]):
            assert run["failure_code"] == "schedule_not_announced", path.name
            assert [e.type for e in events] == ["SyncStarted", "SyncFailed"]
            assert await everything_but_runs(line) == before_rows
            continue
        assert run["status"] == "completed", (path.name, run)
        assert run["withheld"] == []
        after = expected(document, days, zone)
        for kind in KINDS:
            wanted = difference(shown[kind], after[kind], ever[kind])
            assert told(events, kind) == wanted, (path.name, kind)
            ever[kind] |= after[kind].keys()
        largest_removal = max(largest_removal, len(shown["sessions"].keys() - after["sessions"]))
        assert await imported(line.engine, event_id) == after, path.name
        assert await skipped_now(line, event_id) == {
            s["id"] for s in document["sessions"] if not in_window(s, days, zone)
        }
        if after == shown:
            assert [e.type for e in events] == ["SyncStarted", "SyncCompleted"]
        shown = after
        for row in await line.rows("sessions", event_id):
            code = codes.setdefault(str(row["sessionize_id"]), row["session_code"])
            assert row["session_code"] == code
    assert largest_removal == most_removed_at_once


async def skipped_now(line: Line, event_id: object) -> set[str]:
    return {str(r["sessionize_id"]) for r in await line.rows("skipped_sessions", event_id)}  # type: ignore[arg-type]


async def everything_but_runs(line: Line) -> dict[str, list[str]]:
    """Every row of every view but those that say that a run took place."""
    views = ("rooms", "event_speakers", "sessions", "session_speakers", "skipped_sessions")
    async with line.engine.connect() as connection:
        found = {
            view: await connection.execute(text(f"SELECT v.* FROM spreaview.{view} v"))
            for view in views
        }
        return {view: sorted(str(row) for row in rows) for view, rows in found.items()}

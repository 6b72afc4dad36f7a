"""Series of real documents: the events of each run are exactly the changes since the last one.

The expected changes are computed from the two documents, without the product's rules.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from contracts.messages import Window
from eventstore.model import Recorded
from tests.support.corpus import CORPUS, expected, in_window, load, needs_corpus
from tests.support.line import Line, a_request, the_line
from tests.support.series import KINDS, SERIES, Changes, changes_between
from tests.support.views import imported

pytestmark = [needs_corpus, pytest.mark.asyncio]


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as line:
        yield line


def changes_of(events: list[Recorded], kind: str) -> Changes:
    """Return the changes of one kind of entity in the events of one run."""
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
    return Changes(imported, frozenset(gone))


@pytest.mark.parametrize("series", SERIES)
async def test_the_events_are_the_changes_between_the_documents(line: Line, series: str) -> None:
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
        before_rows = await rows_except_runs(line)
        run = await line.sync(a_request("theseries", window, event_id=event_id))
        events = [r async for r in line.log.read_stream(event_id, after=version)]
        version = events[-1].version
        if all(session["startsAt"] is None for session in document["sessions"]):
            assert run["failure_code"] == "schedule_not_announced", path.name
            assert [e.type for e in events] == ["SyncStarted", "SyncFailed"]
            assert await rows_except_runs(line) == before_rows
            continue
        assert run["status"] == "completed", (path.name, run)
        assert run["withheld"] == []
        after = expected(document, days, zone)
        for kind in KINDS:
            wanted = changes_between(shown[kind], after[kind], ever[kind])
            assert changes_of(events, kind) == wanted, (path.name, kind)
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


async def rows_except_runs(line: Line) -> dict[str, list[str]]:
    """Return the rows of every view except those about the runs themselves."""
    views = ("rooms", "event_speakers", "sessions", "session_speakers", "skipped_sessions")
    async with line.engine.connect() as connection:
        found = {
            view: await connection.execute(text(f"SELECT v.* FROM spreaview.{view} v"))
            for view in views
        }
        return {view: sorted(str(row) for row in rows) for view, rows in found.items()}

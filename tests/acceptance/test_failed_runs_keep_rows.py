"""A failed run changes nothing that was imported: the whole system, with broker and database."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.support.documents import WINDOW, document, talk, unscheduled
from tests.support.first_import import (
    API_ID,
    CUT_OFF,
    GOOD,
    SPACES,
    encoded,
    headed,
    schedule,
)
from tests.support.line import VIEWS, Line, a_request, the_line
from tests.support.sessionize.answers import Answer, page

FAILING = {
    "HTML": (page(200, "Schedule"), "endpoint_not_json"),
    "unknown API ID": (page(404, "Not found"), "api_id_not_found"),
    "truncated JSON": (Answer(encoded(GOOD)[:-40]), "unexpected_document"),
    "no session": (schedule(document()), "schedule_empty"),
    "unannounced": (schedule(document(unscheduled("1"))), "schedule_not_announced"),
    "429 for an hour": (headed(429, Retry_After="3600"), "upstream_unavailable"),
    "cut in the middle": (CUT_OFF, "upstream_unavailable"),
    "500 MB of spaces": (SPACES, "response_too_large"),
}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as line:
        yield line


async def imported_rows(line: Line) -> dict[str, list[str]]:
    """The rows of every view except those about the runs themselves."""
    async with line.engine.connect() as connection:
        found = {
            view: await connection.execute(text(f"SELECT v.* FROM spreaview.{view} v"))
            for view in VIEWS
            if view not in ("sync_runs", "stream_progress")
        }
        return {view: sorted(map(str, rows)) for view, rows in found.items()}


@pytest.mark.asyncio
async def test_a_failed_run_keeps_every_imported_row(line: Line) -> None:
    event_id = uuid4()
    good = document(talk("1"), talk("2", "2026-05-28T11:00:00"), unscheduled("3"))
    line.double.documents.put(API_ID, schedule(good))
    assert (await line.sync(a_request(API_ID, WINDOW, event_id=event_id)))["status"] == "completed"
    rows = await imported_rows(line)
    assert all(rows.values())
    runs = await line.rows("sync_runs", event_id)

    for name, (answer, code) in FAILING.items():
        line.double.documents.put(API_ID, answer)
        run = await line.sync(a_request(API_ID, WINDOW, event_id=event_id))
        assert (run["status"], run["failure_code"]) == ("failed", code), name
        assert (await line.types(event_id))[-2:] == ["SyncStarted", "SyncFailed"]
        assert await imported_rows(line) == rows, name
        after = await line.rows("sync_runs", event_id)
        (own,) = [row for row in after if row not in runs]
        assert str(own["sync_id"]) == str(run["sync_id"])
        assert len(after) == len(runs) + 1
        runs = after

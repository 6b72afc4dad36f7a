"""Series of real documents: the audit shows the past as it was, and names the deciding rule.

The expected results are computed from the documents, without the product's rules.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from audit.as_of.diff import differences
from audit.as_of.document_shape import shape_of
from audit.as_of.read_models import ReadModels, read_models_at
from audit.explain.explain import explain
from audit.explain.survey import read_survey
from audit.explain.verdicts import session_verdict
from audit.past.moments import after_sync
from audit.verify.reimport import reimport
from contracts.messages import Window
from projections.tables import COLUMNS
from tests.support.corpus import CORPUS, expected, in_window, instant, load, needs_corpus
from tests.support.line import Line, a_request, the_line
from tests.support.past import dumped, in_order
from tests.support.series import KINDS, SERIES, Changes, changes_between

pytestmark = [needs_corpus, pytest.mark.asyncio]

_FIELDS = {"room": "room_id", "speakers": "speaker_ids"}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as line:
        yield line


def changes_in_diff(before: ReadModels, after: ReadModels, kind: str) -> Changes:
    """Return the changes of one kind of entity that `diff` finds."""
    imported: dict[str, tuple[str, frozenset[str]]] = {}
    gone: set[str] = set()
    for d in differences(shape_of(before), shape_of(after)):
        if d.kind != kind.removesuffix("s"):
            continue
        if d.change == "withdrawn":
            gone.add(d.sessionize_id)
        else:
            fields = d.fields if d.change == "updated" else ()
            named = frozenset(_FIELDS.get(f, f) for f in fields if f != "is_reviewable")
            imported[d.sessionize_id] = (d.change, named)
    return Changes(imported, frozenset(gone))


def rule_of(session: dict[str, Any] | None, days: tuple[date, date], zone: str) -> str:
    """Return the rule that must apply to a session."""
    if session is None:
        return "missing_from_source"
    if in_window(session, days, zone):
        return "scheduled"
    if session["startsAt"]:
        day = instant(session["startsAt"], zone).astimezone(ZoneInfo(zone)).date()
        if not days[0] <= day <= days[1]:
            return "before_window" if day < days[0] else "after_window"
    return "unscheduled"


@pytest.mark.parametrize("series", SERIES)
async def test_history_and_explanations_of_a_real_series(line: Line, series: str) -> None:
    first, last, zone, _ = SERIES[series]
    days = (date.fromisoformat(first), date.fromisoformat(last))
    window = Window(starts_on=days[0], ends_on=days[1], time_zone=zone)
    event_id = uuid4()
    runs: list[tuple[UUID, dict[str, list[dict[str, Any]]]]] = []
    shown: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    ever: dict[str, set[str]] = {kind: set() for kind in KINDS}
    wanted: list[dict[str, Changes]] = []
    seen: set[str] = set()
    rules: set[str] = set()
    for path in sorted((CORPUS / "series" / series).glob("*.json")):
        document = load(path)
        line.double.serve("theseries", path.read_bytes())
        request = a_request("theseries", window, event_id=event_id)
        run = await line.sync(request)
        held = {view: await dumped(line.engine, view, event_id) for view in COLUMNS}
        runs.append((request.request_id, held))
        if run["status"] == "failed":
            wanted.append({kind: Changes({}, frozenset()) for kind in KINDS})
            continue
        after = expected(document, days, zone)
        wanted.append({k: changes_between(shown[k], after[k], ever[k]) for k in KINDS})
        shown = after
        for kind in KINDS:
            ever[kind] |= after[kind].keys()
        listed = {session["id"]: session for session in document["sessions"]}
        seen |= listed.keys()
        found = await read_survey(line.log, event_id)
        for key in seen:
            verdict = session_verdict(found, key)
            assert verdict.rule == rule_of(listed.get(key), days, zone), (path.name, key)
            rules.add(verdict.rule)
        missing = next((key for key in sorted(seen) if key not in after["sessions"]), None)
        if missing is not None:
            explained = await explain(line.log, event_id, "session", missing)
            assert not explained.there
            assert explained.decided_by is not None
            assert explained.decided_by.source_digest is not None
    assert "scheduled" in rules
    assert len(rules) > 1

    before = ReadModels()
    for (sync_id, held), changed in zip(runs, wanted, strict=True):
        moment = await after_sync(line.log, event_id, sync_id)
        models = await read_models_at(line.log, event_id, moment)
        assert {view: in_order(rows) for view, rows in models.views().items()} == held
        for kind in KINDS:
            assert changes_in_diff(before, models, kind) == changed[kind], (sync_id, kind)
        before = models

    again = [run async for run in reimport(line.log, event_id)]
    assert [run.sync_id for run in again] == [sync_id for sync_id, _ in runs]
    assert all((run.not_decided, run.deviations) == (None, ()) for run in again)

"""The history of an event: its runs, and the timelines of its entities."""

import json
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.read_models import read_models_at
from audit.erasure.erase import erase, erase_requester, lift
from audit.http.changes import ChangesOfRuns
from audit.past.entities import EntityQuery
from audit.past.moments import ALWAYS, NOW, Span
from audit.past.runs import runs
from audit.past.timeline import timeline
from cli.command import finish
from cli.commands.as_of import report_read_models
from cli.commands.diff import report_difference
from cli.commands.explain import report_explanation
from cli.commands.history import Selection, report_events, report_runs, report_timeline
from cli.settings import Settings
from contracts import identity
from tests.support.documents import BROKEN, days, document, room, speaker, talk, unscheduled
from tests.support.line import ORGANIZATION
from tests.support.past import Past

LONG_AFTER = datetime(2999, 1, 1, tzinfo=UTC)
LATER = talk("2", "2026-05-28T10:00:00")

pytestmark = pytest.mark.asyncio


@pytest.fixture
def past(engine: AsyncEngine) -> Past:
    return Past(engine)


async def steps_of(
    past: Past, kind: str, name: str
) -> list[tuple[str, str | None, dict[str, Any]]]:
    entries = timeline(past.log, past.event_id, EntityQuery(kind, name))
    return [(e.step.change, e.step.reason, dict(e.step.fields)) async for e in entries]


async def test_runs_have_requester_times_and_outcome(past: Past) -> None:
    await past.imports(document(talk("1"), LATER))
    await past.imports(document(unscheduled("1")), requested_by=None)
    await past.imports(document(talk("1")), window=days(27, 29))
    found = [run async for run in runs(past.log, past.event_id)]
    assert [run.sync_id for run in found] == past.runs
    assert [run.status for run in found] == ["completed", "failed", "completed"]
    assert [run.requested_by for run in found] == ["Ada Example", None, "Ada Example"]
    assert found[1].failure_code == "schedule_not_announced"
    assert found[1].counts is None
    assert found[0].counts is not None
    assert found[0].counts.sessions.added == 2
    assert found[2].window == days(27, 29)
    assert all(run.source_digest for run in found)
    for one, other in pairwise(found):
        assert one.first_position < (one.last_position or 0) < other.first_position
    finished = found[1].finished_at
    only = [run async for run in runs(past.log, past.event_id, Span(finished, finished))]
    assert only == [found[1]]


async def test_the_timeline_of_a_session_lists_every_field_change(past: Past) -> None:
    await past.imports(document(talk("1"), LATER))
    await past.imports(document(talk("1", title="New"), LATER))
    await past.imports(document(talk("1", "2026-05-30T09:00:00", title="New"), LATER))
    await past.imports(document(unscheduled("1", title="New"), LATER))
    await past.imports(document(LATER))
    await past.imports(document(talk("1", title="New"), LATER))
    await past.imports(document(talk("1") | BROKEN, LATER))
    steps = await steps_of(past, "session", "1")
    assert [(change, reason) for change, reason, _ in steps[:-1]] == [
        ("added", None),
        ("updated", None),
        ("skipped", "after_window"),
        ("skipped", "unscheduled, missing: starts_at, ends_at, room"),
        ("withdrawn", "missing_from_source"),
        ("restored", None),
    ]
    assert steps[0][2]["title"] == (None, "Talk 1")
    assert steps[1][2] == {"title": ("Talk 1", "New")}
    assert steps[2][2]["starts_at"][0].isoformat() == "2026-05-28T07:00:00+00:00"
    assert steps[2][2]["starts_at"][1].isoformat() == "2026-05-30T07:00:00+00:00"
    assert steps[5][2]["starts_at"] == (None, steps[0][2]["starts_at"][1])  # skipped without a time
    assert steps[-1][0] == "warned"
    assert (steps[-1][1] or "").startswith("invalid_session: ")
    our_id = identity.session_id(past.event_id, "1")
    code = identity.session_code(our_id)
    for name in (str(our_id), code, code.lower()):
        assert await steps_of(past, "session", name) == steps
    assert await steps_of(past, "session", "nothing") == []


async def test_the_timeline_shows_withheld_and_released_removals(past: Past) -> None:
    many = [talk(str(n)) for n in range(20)]
    await past.imports(document(*many))
    await past.imports(document(*many[:8]))
    await past.imports(document(*many[:8]))
    await past.imports(document(*many))
    await past.imports(document(*many[:8]), allow_removals=12)
    assert [change for change, _, _ in await steps_of(past, "session", "19")] == [
        "added",
        "withheld",
        "released",
        "withdrawn",
    ]


async def test_the_timelines_of_rooms_and_speakers(past: Past) -> None:
    await past.imports(document(talk("1"), talk("2", room=8, speakers=["bob"])))
    changed = {
        "rooms": [room(7, name="Aula"), room(8)],
        "speakers": [speaker("ada"), speaker("bob")],
    }
    await past.imports(document(talk("1"), **changed))
    assert [(c, r) for c, r, _ in await steps_of(past, "room", "8")] == [
        ("added", None),
        ("withdrawn", "unreferenced"),
    ]
    assert (await steps_of(past, "room", "7"))[1] == ("updated", None, {"name": ("Room 7", "Aula")})
    our_id = identity.speaker_id(uuid4(), "bob")
    assert await steps_of(past, "speaker", str(our_id)) == []
    assert [c for c, _, _ in await steps_of(past, "speaker", "bob")] == ["added", "withdrawn"]


async def test_an_event_type_selects_steps_of_all_entities(past: Past) -> None:
    await past.imports(document(talk("1"), LATER))
    await past.imports(document(talk("1")))
    found = timeline(past.log, past.event_id, EntityQuery(), ALWAYS, "SessionWithdrawn")
    assert [entry.step.sessionize_id async for entry in found] == ["2"]
    many = [talk(str(n)) for n in range(10, 30)]
    await past.imports(document(*many))
    await past.imports(document(*many[:8]))
    await past.imports(document(*many[:8]))
    found = timeline(past.log, past.event_id, EntityQuery(), ALWAYS, "RemovalsWithheld")
    assert {entry.step.sessionize_id async for entry in found} == {str(n) for n in range(18, 30)}


async def test_the_commands_print_text_and_json(
    past: Past,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    await past.imports(document(talk("1"), LATER))
    await past.imports(document(talk("1", title="[red]New")))
    await past.imports(document(unscheduled("1")))
    settings = Settings(database_url=database_url)
    for as_json in (False, True):
        assert (
            await finish(
                partial(report_runs, past.event_id, ALWAYS, None), settings, as_json=as_json
            )
            == 0
        )
    printed = capsys.readouterr().out
    assert "asked by Ada Example" in printed
    (told,) = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    assert [run["sync_id"] for run in told] == [str(run) for run in past.runs]
    assert all(f"sync {run}  " in printed for run in past.runs)
    assert f"What to do: {told[2]['failure_remedy'][:20]}" in printed

    for event_type, number in {"SyncStarted": 3, "SyncCompleted": 2, "SyncFailed": 1}.items():
        done = await finish(
            partial(report_runs, past.event_id, ALWAYS, event_type), settings, as_json=True
        )
        assert (done, len(json.loads(capsys.readouterr().out))) == (0, number)

    later = Selection(past.event_id, EntityQuery("session", "1"), Span(LONG_AFTER), None)
    assert (
        await finish(partial(report_timeline, later, as_json=False), settings, as_json=False) == 0
    )
    assert "No matching events" in capsys.readouterr().out
    asked = Selection(past.event_id, EntityQuery("session", "1"), ALWAYS, None)
    assert (
        await finish(partial(report_timeline, asked, as_json=False), settings, as_json=False) == 0
    )
    assert "title: Talk 1 → [red]New" in capsys.readouterr().out
    assert await finish(partial(report_timeline, asked, as_json=True), settings, as_json=True) == 0
    steps = json.loads(capsys.readouterr().out)
    assert steps[1]["fields"] == {"title": {"old": "Talk 1", "new": "[red]New"}}

    for as_json in (False, True):
        done = await finish(
            partial(report_read_models, past.event_id, past.runs[0], NOW),
            settings,
            as_json=as_json,
        )
        assert done == 0
    lines = capsys.readouterr().out.splitlines()
    assert {row["title"] for row in json.loads(lines[-1])["sessions"]} == {"Talk 1", "Talk 2"}


async def test_an_unknown_entity_exits_with_1_and_a_sentence(
    past: Past, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(database_url=database_url)
    assert (
        await finish(partial(report_runs, past.event_id, ALWAYS, None), settings, as_json=True) == 1
    )
    assert "knows no SpreaView event" in capsys.readouterr().err
    await past.imports(document(talk("1")))
    asked = Selection(past.event_id, EntityQuery("session", "none"), ALWAYS, None)
    assert (
        await finish(partial(report_timeline, asked, as_json=False), settings, as_json=False) == 1
    )
    said = capsys.readouterr().err
    assert "does not know a session 'none'" in said
    assert f"spreaview-sync explain {past.event_id} none says why" in said
    asked = Selection(past.event_id, EntityQuery("room", "no room"), ALWAYS, None)
    assert (
        await finish(partial(report_timeline, asked, as_json=False), settings, as_json=False) == 1
    )
    said = capsys.readouterr().err
    assert f"spreaview-sync explain {past.event_id} --room 'no room' says why" in said
    assert (
        await finish(
            partial(report_read_models, past.event_id, uuid4(), NOW), settings, as_json=False
        )
        == 1
    )
    assert "knows no sync" in capsys.readouterr().err


async def test_texts_are_printed_without_markup(
    past: Past, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(database_url=database_url)
    title = "[bold]Ship it[/] :rocket:"
    await past.imports(document(talk("1", title=title)))
    asked = Selection(past.event_id, EntityQuery("session", "1"), ALWAYS, None)
    assert (
        await finish(partial(report_timeline, asked, as_json=False), settings, as_json=False) == 0
    )
    assert f"title: nothing → {title}" in capsys.readouterr().out
    wanted = EntityQuery("session", "1")
    assert (
        await finish(partial(report_explanation, past.event_id, wanted), settings, as_json=False)
        == 0
    )
    assert title in capsys.readouterr().out


async def test_a_speaker_without_personal_fields_is_shown_as_erased(
    past: Past, engine: AsyncEngine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before the erasure, and in an event that imported the person afterwards."""
    both = document(talk("1"), LATER | {"speakers": ["bob"]})
    await past.imports(both)
    ada = identity.speaker_id(ORGANIZATION, "ada")
    await erase(engine, ORGANIZATION, ada)
    later = Past(engine)
    await later.imports(both)
    added = [change[:2] for change in await steps_of(past, "speaker", "ada")]
    assert added == [("added", "erased"), ("erased", None)]
    assert [step[:2] for step in await steps_of(later, "speaker", "ada")] == [("added", "erased")]
    assert [step[:2] for step in await steps_of(later, "speaker", "bob")] == [("added", None)]

    changed = await ChangesOfRuns(later.log).of(later.event_id, later.runs[0], None)
    speakers = {step.sessionize_id: step for step in changed.first if step.kind == "speaker"}
    assert (speakers["ada"].name, speakers["ada"].reason) == ("", "erased")
    assert (speakers["bob"].name, speakers["bob"].reason) == ("Bob Example", None)

    asked = Selection(later.event_id, EntityQuery("speaker", "ada"), ALWAYS, None)
    show = partial(report_timeline, asked, as_json=False)
    assert await finish(show, Settings(database_url=database_url), as_json=False) == 0
    assert "the person asked to be forgotten" in capsys.readouterr().out


async def test_an_erased_requester_is_not_called_a_speaker(past: Past, engine: AsyncEngine) -> None:
    """The stream tells the two apart, also if the speaker was erased before."""
    ada = identity.speaker_id(ORGANIZATION, "ada")
    requester = identity.requester_subject(ORGANIZATION, "Ada Example")
    await past.imports(document(talk("1")))
    await erase_requester(engine, ORGANIZATION, "Ada Example")
    for _ in range(2):
        await erase(engine, ORGANIZATION, ada)
        await lift(engine, ORGANIZATION, ada)
        await past.imports(document(talk("1")), requested_by=None)
    found = timeline(past.log, past.event_id, EntityQuery(), ALWAYS, "SpeakerErased")
    erased = [(e.step.kind, e.step.id, e.step.sessionize_id) async for e in found]
    assert erased == [("requester", requester, ""), *[("speaker", ada, "ada")] * 2]
    assert await steps_of(past, "speaker", str(requester)) == []
    steps = [step[0] for step in await steps_of(past, "speaker", "ada")]
    assert steps == ["added", "erased", "updated", "erased", "updated"]


async def test_history_without_an_event_lists_the_events(
    past: Past,
    engine: AsyncEngine,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    settings = Settings(database_url=database_url)
    assert await finish(report_events, settings, as_json=False) == 0
    assert "The log has no SpreaView event yet." in capsys.readouterr().out
    many = [talk(str(n), room=n % 2) for n in range(20)]
    await past.imports(document(*many))
    await past.imports(document(*many[:8]))  # the other removals are withheld
    failed = await past.imports(document(unscheduled("1")))
    other = Past(engine)
    await other.imports(document(talk("1"), LATER))
    only = await other.imports(document(talk("1") | BROKEN, LATER))  # its last version stays
    assert await finish(report_events, settings, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(event["spreaview_event_id"], event["last_sync_id"]) for event in found] == [
        (str(other.event_id), str(only)),
        (str(past.event_id), str(failed)),
    ]
    models = await read_models_at(past.log, past.event_id, NOW)
    scheduled = [row for row in models.sessions.values() if row["status"] == "scheduled"]
    assert found[1]["counts"] == {"sessions": len(scheduled), "speakers": 1, "rooms": 2}
    assert found[0]["counts"] == {"sessions": 2, "speakers": 1, "rooms": 1}
    assert (found[1]["syncs"], found[1]["last_status"]) == (3, "failed")
    assert found[1]["last_failure_code"] == "schedule_not_announced"
    assert found[1]["window"]["time_zone"] == "Europe/Vienna"

    assert await finish(report_events, settings, as_json=False) == 0
    printed = capsys.readouterr().out
    assert f"event {past.event_id}\n" in printed
    assert "20 sessions, 1 speaker, 2 rooms, since 2" in printed
    assert "failed (schedule_not_announced)" in printed
    assert max(map(len, printed.splitlines())) <= 80


async def test_history_has_warnings_in_words_and_times_in_the_zone_of_the_event(
    past: Past, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await past.imports(document(talk("1"), talk("2")))
    await past.imports(document(talk("1", "2026-05-28T10:00:00"), talk("2")))
    settings = Settings(database_url=database_url)
    show = partial(report_runs, past.event_id, ALWAYS, None)
    assert await finish(show, settings, as_json=False) == 0
    printed = capsys.readouterr().out
    (run, _) = [run async for run in runs(past.log, past.event_id)]
    (warning,) = run.warnings
    assert f"Warning ({warning.code}): {warning.message}" in " ".join(printed.split())
    assert run.finished_at is not None
    zone = ZoneInfo("Europe/Vienna")
    assert f"finished  {run.finished_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" in printed
    assert "ordered   2026-05-01 02:00:00+02:00" in printed

    asked = Selection(past.event_id, EntityQuery("session", "1"), ALWAYS, None)
    show_steps = partial(report_timeline, asked, as_json=False)
    assert await finish(show_steps, settings, as_json=False) == 0
    change = "start: 2026-05-28 09:00:00+02:00 → 2026-05-28 10:00:00+02:00"
    assert change in capsys.readouterr().out
    before, after = map(str, past.runs)
    differ = partial(report_difference, past.event_id, before, after)
    assert await finish(differ, settings, as_json=False) == 0
    assert change in capsys.readouterr().out
    why = partial(report_explanation, past.event_id, EntityQuery("session", "1"))
    assert await finish(why, settings, as_json=False) == 0
    assert "start: 2026-05-28 10:00:00+02:00" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["40", "80", "120"])
async def test_as_of_cuts_no_code_and_keeps_withdrawn_apart(
    past: Past,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    title = "A long title that fills every column of a narrow terminal and then goes beyond it"
    await past.imports(document(talk("1", title=title), LATER, talk("3", "2026-05-30T09:00:00")))
    await past.imports(document(talk("1", title=title), talk("3", "2026-05-30T09:00:00")))
    settings = Settings(database_url=database_url)
    show = partial(report_read_models, past.event_id, past.runs[1], NOW)
    assert await finish(show, settings, as_json=False) == 0
    printed = capsys.readouterr().out
    scheduled, _, rest = printed.partition("1 session withdrawn")
    withdrawn, _, skipped = rest.partition("1 session skipped")
    for part, key, starts in (
        (scheduled, "1", "2026-05-28 09:00:00+02:00"),
        (withdrawn, "2", "2026-05-28 10:00:00+02:00"),
    ):
        code = identity.session_code(identity.session_id(past.event_id, key))
        assert f"{starts}  {code}" in part
        assert printed.count(code) == 1
    assert "2026-05-30 09:00:00+02:00  Talk 3 (it starts after the event's last day)" in skipped

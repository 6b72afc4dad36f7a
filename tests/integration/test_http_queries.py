"""The query routes over real HTTP, on a line that imports for real."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from audit.erasure.erase import erase
from audit.http.changes import ChangesOfRuns
from audit.past.events import event_summaries
from contracts import identity
from contracts.codec import JsonObject
from contracts.messages import SyncRequested
from eventstore.log import EventLog
from eventstore.model import Recorded
from tests.support.documents import WINDOW, document, room, speaker, talk, unscheduled
from tests.support.http_side import HttpSide, the_http_side
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.sessionize.answers import Answer
from tests.support.streams import change_log

pytestmark = pytest.mark.asyncio

API_ID = "demo2026"


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def http(line: Line) -> AsyncIterator[HttpSide]:
    async with the_http_side(line) as side:
        yield side


@pytest_asyncio.fixture
async def synced(line: Line) -> SyncRequested:
    """A SpreaView event of the test's own, with one sync."""
    serve(line, schedule(*TALKS))
    request = a_request(API_ID, WINDOW)
    await line.sync(request)
    return request


TALKS = (
    talk("1", "2026-05-28T09:00:00", room=7, speakers=["ada", "bob"]),
    talk("2", "2026-05-28T09:00:00", room=8),
    talk("3", "2026-05-29T10:00:00", room=7),
    unscheduled("4"),
    talk("5", "2026-06-30T10:00:00", room=7),
)


def schedule(*sessions: JsonObject) -> JsonObject:
    return document(
        *sessions,
        rooms=[room(8, name="Second", sort=1), room(7, name="First", sort=0)],
        speakers=[speaker("ada"), speaker("bob")],
    )


def serve(line: Line, document: JsonObject) -> None:
    """Let the double answer with this document from now on."""
    line.double.documents.put(API_ID, Answer(json.dumps(document).encode()))


async def test_a_schedule_has_days_rooms_and_sessions_in_order(
    http: HttpSide, synced: SyncRequested
) -> None:
    answer = await http.client.get(f"/v1/events/{synced.spreaview_event_id}/schedule")
    assert answer.status_code == 200
    body = answer.json()
    shown = [
        (day["date"], room["name"], [session["title"] for session in room["sessions"]])
        for day in body["days"]
        for room in day["rooms"]
    ]
    assert shown == [
        ("2026-05-28", "First", ["Talk 1"]),
        ("2026-05-28", "Second", ["Talk 2"]),
        ("2026-05-29", "First", ["Talk 3"]),
    ]
    session = body["days"][0]["rooms"][0]["sessions"][0]
    assert session["starts_at"] == "2026-05-28T07:00:00Z"
    assert session["starts_at_local"] == "2026-05-28T09:00:00+02:00"
    assert [each["full_name"] for each in session["speakers"]] == ["Ada Example", "Bob Example"]
    assert body["last_completed_sync"] == str(synced.request_id)
    assert body["window"]["time_zone"] == "Europe/Vienna"


async def test_an_unchanged_schedule_is_answered_with_304(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    path = f"/v1/events/{synced.spreaview_event_id}/schedule"
    first = await http.client.get(path)
    again = await http.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await line.sync(a_request(API_ID, WINDOW, event_id=synced.spreaview_event_id))
    later = await http.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert later.status_code == 200
    assert later.headers["etag"] != first.headers["etag"]


async def test_a_caller_without_gzip_gets_the_same_bytes_uncompressed(
    http: HttpSide, synced: SyncRequested
) -> None:
    path = f"/v1/events/{synced.spreaview_event_id}/schedule"
    packed = await http.client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = await http.client.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content


async def test_a_withdrawn_session_keeps_its_link_and_is_included_on_request(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    event = synced.spreaview_event_id
    body = (await http.client.get(f"/v1/events/{event}/schedule")).json()
    code = body["days"][0]["rooms"][1]["sessions"][0]["session_code"]
    serve(line, schedule(*[each for each in TALKS if each["id"] != "2"]))
    later = a_request(API_ID, WINDOW, event_id=event)
    await line.sync(later)
    session = (await http.client.get(f"/v1/sessions/{code}")).json()["session"]
    assert session["status"] == "withdrawn"
    shown = await http.client.get(f"/v1/events/{event}/schedule")
    everything = await http.client.get(f"/v1/events/{event}/schedule?include=withdrawn")
    assert code not in shown.text
    assert code in everything.text


async def test_a_session_code_is_found_in_any_case(http: HttpSide, synced: SyncRequested) -> None:
    answer = await http.client.get(f"/v1/events/{synced.spreaview_event_id}/schedule")
    code = answer.json()["days"][0]["rooms"][0]["sessions"][0]["session_code"]
    found = await http.client.get(f"/v1/sessions/{code.lower()}")
    assert found.json()["session"]["session_code"] == code
    assert found.json()["spreaview_event_id"] == str(synced.spreaview_event_id)


async def test_rooms_are_in_their_order(http: HttpSide, synced: SyncRequested) -> None:
    answer = await http.client.get(f"/v1/events/{synced.spreaview_event_id}/rooms")
    assert [room["name"] for room in answer.json()["rooms"]] == ["First", "Second"]


async def test_a_room_at_a_moment(http: HttpSide, synced: SyncRequested) -> None:
    event = synced.spreaview_event_id
    rooms = (await http.client.get(f"/v1/events/{event}/rooms")).json()["rooms"]
    path = f"/v1/events/{event}/rooms/{rooms[0]['room_id']}/now"
    answer = await http.client.get(path, params={"at": "2026-05-28T09:10:00+02:00"})
    body = answer.json()
    assert [each["title"] for each in body["current"]] == ["Talk 1"]
    assert body["next"]["title"] == "Talk 3"
    assert body["changes_at"] == "2026-05-28T07:45:00Z"
    again = await http.client.get(
        path,
        params={"at": "2026-05-28T09:10:00+02:00"},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert again.status_code == 304


async def test_a_speaker_is_found_by_either_id_with_all_sessions(
    http: HttpSide, synced: SyncRequested
) -> None:
    by_sessionize = await http.client.get(f"/v1/organizations/{ORGANIZATION}/speakers/ada")
    assert by_sessionize.status_code == 200
    speaker_id = by_sessionize.json()["speaker_id"]
    by_ours = await http.client.get(f"/v1/organizations/{ORGANIZATION}/speakers/{speaker_id}")
    assert by_ours.json() == by_sessionize.json()
    mine = [
        each["title"]
        for each in by_ours.json()["sessions"]
        if each["spreaview_event_id"] == str(synced.spreaview_event_id)
    ]
    assert mine == ["Talk 1", "Talk 2", "Talk 3"]


async def test_missing_sessions_have_a_reason_and_a_remedy(
    http: HttpSide, synced: SyncRequested
) -> None:
    answer = await http.client.get(f"/v1/events/{synced.spreaview_event_id}/skipped")
    skipped = {each["title"]: each for each in answer.json()["sessions"]}
    assert skipped["Talk 4"]["reason"] == "unscheduled"
    assert skipped["Talk 5"]["reason"] == "after_window"
    assert all("then sync again" in each["remedy"] for each in skipped.values())


async def test_a_report_names_each_change_field_by_field(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    changed = schedule(*[each | {"roomId": 8} if each["id"] == "1" else each for each in TALKS])
    serve(line, changed)
    later = a_request(API_ID, WINDOW, event_id=synced.spreaview_event_id)
    await line.sync(later)
    answer = await http.client.get(
        f"/v1/events/{synced.spreaview_event_id}/syncs/{later.request_id}"
    )
    (change,) = answer.json()["changes"]
    assert (change["kind"], change["name"], change["change"]) == ("session", "Talk 1", "updated")
    assert change["fields"] == {"room": {"old": "First", "new": "Second"}}


async def test_reports_name_the_same_changes_in_whatever_order_they_are_read(
    line: Line, synced: SyncRequested
) -> None:
    event = synced.spreaview_event_id
    syncs = [synced.request_id]
    for title in ("Second title", "Third title", "Third title"):
        serve(
            line,
            schedule(*[each | {"title": title} if each["id"] == "1" else each for each in TALKS]),
        )
        later = a_request(API_ID, WINDOW, event_id=event)
        await line.sync(later)
        syncs.append(later.request_id)
    alone = [await ChangesOfRuns(line.log).of(event, sync, "state") for sync in syncs]
    assert [each.total for each in alone] == [len(alone[0].first), 1, 1, 0]
    shared = ChangesOfRuns(line.log)
    for number in (0, 1, 3, 3, 2, 0, 2, 3):
        assert await shared.of(event, syncs[number], "state") == alone[number]


async def test_the_report_of_a_newer_run_reads_the_log_on_from_the_one_before(
    line: Line, synced: SyncRequested, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, reads = synced.spreaview_event_id, []
    read_stream = EventLog.read_stream

    def recorded(self: EventLog, stream_id: UUID, *, after: int = 0) -> AsyncIterator[Recorded]:
        reads.append(after)
        return read_stream(self, stream_id, after=after)

    later = a_request(API_ID, WINDOW, event_id=event)
    await line.sync(later)
    monkeypatch.setattr(EventLog, "read_stream", recorded)
    changes = ChangesOfRuns(line.log)
    await changes.of(event, synced.request_id, "before an erasure")
    await changes.of(event, later.request_id, "before an erasure")
    await changes.of(event, later.request_id, "after an erasure")
    assert [after > 0 for after in reads] == [False, True, False]


async def test_nothing_that_a_failover_has_lost_is_used_again(
    http: HttpSide, line: Line, synced: SyncRequested, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated run has the same message ids at the same positions, but other hashes."""
    event, path = synced.spreaview_event_id, f"/v1/events/{synced.spreaview_event_id}/schedule"
    changes = ChangesOfRuns(line.log)
    await changes.of(event, synced.request_id, "state")
    tag = (await http.client.get(path)).headers["etag"]
    assert (await http.client.get(path, headers={"If-None-Match": tag})).status_code == 304

    await change_log(
        line.engine,
        "UPDATE event_store.events SET hash = sha256(hash) WHERE stream_id = :stream",
        stream=event,
    )
    again = await http.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["etag"] != tag) == (200, True)
    reads = []
    read_stream = EventLog.read_stream

    def recorded(self: EventLog, stream_id: UUID, *, after: int = 0) -> AsyncIterator[Recorded]:
        reads.append(after)
        return read_stream(self, stream_id, after=after)

    monkeypatch.setattr(EventLog, "read_stream", recorded)
    await changes.of(event, synced.request_id, "state")
    assert reads == [0]


async def test_the_history_of_an_unknown_entity_is_not_empty_but_unknown(
    http: HttpSide, synced: SyncRequested
) -> None:
    event = synced.spreaview_event_id
    answer = await http.client.get(f"/v1/events/{event}/history?session=Keynote")
    assert answer.status_code == 404
    assert f"/v1/events/{event}/explain" in answer.json()["detail"]


async def test_a_refused_request_of_another_organization_changes_no_answer(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    event = synced.spreaview_event_id
    known = f"/v1/events/{event}/explain?speaker={identity.speaker_id(ORGANIZATION, 'ada')}"
    before = (await http.client.get(known)).json()
    other = a_request(API_ID, WINDOW, event_id=event, organization_id=uuid4())
    assert (await line.sync(other))["status"] == "failed"
    after = (await http.client.get(known)).json()
    assert (before["rule"], after["rule"]) == ("imported", "imported")
    summaries = {each.spreaview_event_id: each for each in await event_summaries(line.engine)}
    assert summaries[event].organization_id == ORGANIZATION


async def test_a_page_without_a_completed_sync_does_not_say_that_nothing_is_missing(
    http: HttpSide, line: Line
) -> None:
    request = a_request("unknown9", WINDOW)
    assert (await line.sync(request))["status"] == "failed"
    page = await http.client.get(f"/events/{request.spreaview_event_id}")
    assert "No sync has completed yet" in page.text


async def test_syncs_are_listed_page_by_page_the_newest_first(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    event = synced.spreaview_event_id
    later = [a_request(API_ID, WINDOW, event_id=event) for _ in range(2)]
    for request in later:
        await line.sync(request)
    first = (await http.client.get(f"/v1/events/{event}/syncs?limit=2")).json()
    second = (
        await http.client.get(f"/v1/events/{event}/syncs?limit=2&after={first['next']}")
    ).json()
    listed = [run["sync_id"] for page in (first, second) for run in page["runs"]]
    assert listed == [str(each.request_id) for each in (*reversed(later), synced)]
    assert second["next"] is None


async def test_every_event_is_on_one_page_also_after_an_erasure(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    organization = uuid4()
    requests = [a_request(API_ID, WINDOW, organization_id=organization) for _ in range(3)]
    for request in requests:
        await line.sync(request)
    await erase(line.engine, organization, identity.speaker_id(organization, "ada"))
    events = [synced.spreaview_event_id, *(each.spreaview_event_id for each in requests)]
    for event in events:
        version = await line.log.stream_version(event)
        path = f"/v1/events/{event}/schedule?min_version={version}"
        assert (await http.client.get(path, headers={"Prefer": "wait=60"})).status_code == 200

    listed: list[str] = []
    after: str | None = None
    while after != "":
        page = (await http.client.get("/v1/events", params=_page_of_two(after))).json()
        listed += [each["spreaview_event_id"] for each in page["events"]]
        after = page["next"] or ""
    assert len(listed) == len(set(listed))
    assert {str(event) for event in events} <= set(listed)


def _page_of_two(after: str | None) -> dict[str, str]:
    return {"limit": "2"} if after is None else {"limit": "2", "after": after}


async def test_a_page_after_a_position_that_the_log_does_not_have_is_a_reset(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    event, head = synced.spreaview_event_id, await line.log.head()
    for path in (f"/v1/events/{event}/syncs", f"/v1/events/{event}/history", "/v1/events"):
        last = await http.client.get(f"{path}?after={head}")
        assert last.status_code == 200, path
        beyond = await http.client.get(f"{path}?after={head + 1}")
        assert (beyond.status_code, beyond.json()["field"]) == (410, "after"), path
        assert beyond.json()["type"] == "urn:spreaview:problem:reset"
        assert f"which is at {head}" in beyond.json()["detail"]


async def test_a_query_waits_for_a_sync_that_is_not_visible_yet(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    later = a_request(API_ID, WINDOW, event_id=synced.spreaview_event_id)
    path = f"/v1/events/{synced.spreaview_event_id}/syncs/{later.request_id}"
    waiting = asyncio.create_task(
        http.client.get(path, params={"wait_for_sync": str(later.request_id)})
    )
    await line.sync(later)
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["sync"]["status"] == "completed"


async def test_a_wait_that_is_too_short_is_answered_with_not_yet(
    http: HttpSide, synced: SyncRequested
) -> None:
    answer = await http.client.get(
        f"/v1/events/{synced.spreaview_event_id}/schedule",
        params={"min_version": 10_000},
        headers={"Prefer": "wait=0"},
    )
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:spreaview:problem:not-yet"
    assert answer.headers["retry-after"] == "1"


async def test_an_erasure_changes_the_tag_and_the_answer_at_once(
    http: HttpSide, line: Line, synced: SyncRequested
) -> None:
    path = f"/v1/events/{synced.spreaview_event_id}/schedule"
    before = await http.client.get(path)
    assert "Ada Example" in before.text
    async with line.engine.begin() as connection:  # as an erasure does, before it is projected
        await connection.execute(
            text(
                "INSERT INTO event_store.erased_subjects (organization_id, subject, erasure_id) "
                "VALUES (:organization, gen_random_uuid(), gen_random_uuid())"
            ),
            {"organization": ORGANIZATION},
        )
    after = await http.client.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200


async def test_unknown_things_are_not_found(http: HttpSide, synced: SyncRequested) -> None:
    event = synced.spreaview_event_id
    for path in (
        f"/v1/events/{uuid4()}/schedule",
        f"/v1/events/{event}/rooms/{uuid4()}/now",
        f"/v1/events/{event}/syncs/{uuid4()}",
        "/v1/sessions/000000000000",
        f"/v1/organizations/{ORGANIZATION}/speakers/nobody",
        "/v1/nothing",
        "/v1/sessions/%00",
        "/v1/sessions/A%00B",
        f"/v1/organizations/{ORGANIZATION}/speakers/%00",
    ):
        answer = await http.client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.parametrize("odd", ["%00", "%ED%A0%80", "9" * 19, "9" * 40, "-1", "%D9%A3"])
async def test_no_odd_text_is_an_unexpected_fault(
    http: HttpSide, synced: SyncRequested, odd: str
) -> None:
    event = f"/v1/events/{synced.spreaview_event_id}"
    of_organization = f"/v1/organizations/{ORGANIZATION}"
    for path in (
        f"/v1/sessions/{odd}",
        f"/v1/events/{odd}/schedule",
        f"{event}/syncs/{odd}",
        f"{event}/rooms/{odd}/now",
        f"{of_organization}/speakers/{odd}",
        f"{of_organization}/erasures/{odd}",
        f"/v1/events?after={odd}",
        f"/v1/events?limit={odd}",
        f"{event}/syncs?after={odd}",
        f"{event}/history?after={odd}",
        f"{event}/history?session={odd}",
        f"{event}/explain?room={odd}",
        f"{event}/schedule?min_version={odd}&wait_for_sync={odd}",
        f"{event}/schedule?include={odd}",
        f"/v1/import-events?after={odd}",
        f"/v1/import-events?type={odd}&event_id={odd}",
        f"/events/{odd}",
        f"/events/{synced.spreaview_event_id}/why?kind=speaker&text={odd}",
        f"/feed?event_id={odd}",
    ):
        answer = await http.client.get(path, headers={"Prefer": "wait=0"})
        assert answer.status_code < 500, (path, answer.text)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/events/nonsense/schedule", "event_id"),
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=many", "limit"),
        ("/v1/events?limit=501", "limit"),
        ("/v1/events?after=-1", "after"),
        ("/v1/import-events?after=nonsense", "after"),
        ("/v1/import-events?limit=0", "limit"),
        ("/v1/import-events?limit=1001", "limit"),
        ("/v1/import-events?type=nonsense", "type"),
        ("/v1/import-events?event_id=1", "event_id"),
        ("/v1/events?limt=5", "limt"),
        ("/v1/import-events?organisation_id=1", "organisation_id"),
    ],
)
async def test_a_wrong_parameter_is_named(http: HttpSide, path: str, field: str) -> None:
    answer = await http.client.get(path)
    assert answer.status_code == 400
    assert answer.json()["field"] == field


async def test_a_query_over_8_kib_is_refused(http: HttpSide) -> None:
    answer = await http.client.get(f"/v1/events?after={'1' * 8 * 1024}")
    assert answer.status_code == 413


async def test_an_open_server_refuses_a_host_name_of_another_site(http: HttpSide) -> None:
    answer = await http.client.get("/v1/events", headers={"Host": "rebound.example"})
    assert answer.status_code == 403

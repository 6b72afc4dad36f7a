"""Requesting syncs over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractContextManager, AsyncExitStack
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from projections.http.announcements import Announcements, Waiter
from tests.support.http_side import HttpSide, the_http_side
from tests.support.line import ORGANIZATION, PATIENCE, Line, the_line

pytestmark = pytest.mark.asyncio

DAYS = {"starts_on": "2026-05-28", "ends_on": "2026-05-29", "time_zone": "Europe/Vienna"}
BODY = {
    "organization_id": str(ORGANIZATION),
    "sessionize_api_id": "demo2026",
    "window": DAYS,
}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def http(line: Line) -> AsyncIterator[HttpSide]:
    async with the_http_side(line) as side:
        yield side


async def test_a_request_that_waits_is_answered_with_the_report(http: HttpSide) -> None:
    event = uuid4()
    answer = await http.client.post(
        f"/v1/events/{event}/syncs", json=BODY, headers={"Prefer": "wait=30"}
    )
    assert answer.status_code == 200
    report = answer.json()
    assert report["sync"]["status"] == "completed"
    assert report["changes_total"] == len(report["changes"]) > 0
    assert len(report["skipped"]) == 3
    schedule = await http.client.get(f"/v1/events/{event}/schedule")
    assert schedule.json()["shown"] == report["shown"]


async def test_a_request_that_does_not_wait_names_where_its_report_will_be(http: HttpSide) -> None:
    answer = await http.client.post(f"/v1/events/{uuid4()}/syncs", json=BODY)
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "1"
    place = answer.headers["location"]
    async with asyncio.timeout(PATIENCE):
        while (report := await http.client.get(place)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert report.json()["sync"]["sync_id"] == answer.json()["sync_id"]


async def test_a_repeated_request_is_the_same_sync(line: Line, http: HttpSide) -> None:
    event, body = uuid4(), BODY | {"request_id": str(uuid4())}
    headers = {"Prefer": "wait=30"}
    first = await http.client.post(f"/v1/events/{event}/syncs", json=body, headers=headers)
    again = await http.client.post(f"/v1/events/{event}/syncs", json=body, headers=headers)
    assert again.json() == first.json()
    assert (await line.types(event)).count("SyncStarted") == 1


@pytest.mark.parametrize("way", ["report", "page", "repeated request"])
async def test_more_readers_of_a_report_than_connections_do_not_block_each_other(
    line: Line, http: HttpSide, way: str
) -> None:
    event, body = uuid4(), BODY | {"request_id": str(uuid4())}
    place, wait = f"/events/{event}/syncs", {"Prefer": "wait=30"}
    done = await http.client.post(f"/v1{place}", json=body, headers=wait)
    assert done.status_code == 200
    async with the_http_side(line, database_pool=2) as small:

        def read() -> Awaitable[httpx.Response]:
            if way == "repeated request":
                return small.client.post(f"/v1{place}", json=body, headers=wait)
            path = f"{'' if way == 'page' else '/v1'}{place}/{body['request_id']}"
            return small.client.get(path)

        async with asyncio.timeout(20):  # less than the wait for a place in the pool
            answers = await asyncio.gather(*(read() for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_request_id_with_other_content_is_a_conflict(http: HttpSide) -> None:
    event, body = uuid4(), BODY | {"request_id": str(uuid4())}
    headers = {"Prefer": "wait=30"}
    await http.client.post(f"/v1/events/{event}/syncs", json=body, headers=headers)
    other = await http.client.post(
        f"/v1/events/{event}/syncs", json=body | {"force": True}, headers=headers
    )
    assert other.status_code == 409
    assert "force" in other.json()["detail"]
    assert other.json()["field"] == "request_id"


async def test_a_failed_sync_is_reported_with_the_remedy(http: HttpSide) -> None:
    answer = await http.client.post(
        f"/v1/events/{uuid4()}/syncs",
        json=BODY | {"sessionize_api_id": "unannounc"},
        headers={"Prefer": "wait=30"},
    )
    assert answer.status_code == 200
    sync = answer.json()["sync"]
    assert (sync["status"], sync["failure_code"]) == ("failed", "schedule_not_announced")
    assert sync["failure_remedy"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sessionize_api_id": "../evil"}, "sessionize_api_id"),
        ({"organization_id": "x"}, "organization_id"),
        ({"window": {"starts_on": "2026-05-28"}}, "window.ends_on"),
        ({"window": DAYS | {"starts_on": "28.05.2026"}}, "window.starts_on"),
        ({"window": DAYS | {"timezone": "Europe/Vienna"}}, "window.timezone"),
        ({"window": "2026-05-28"}, "window"),
        ({"window": DAYS | {"time_zone": "Mars"}}, "window.time_zone"),
        ({"window": DAYS | {"ends_on": "2026-05-27"}}, "window.ends_on"),
        ({"window": DAYS | {"starts_on": "0001-01-01"}}, "window.starts_on"),
        ({"allow_removals": -1}, "allow_removals"),
        ({"unknown_field": 1}, "unknown_field"),
    ],
)
async def test_a_wrong_field_is_named(
    http: HttpSide, change: dict[str, object], field: str
) -> None:
    answer = await http.client.post(f"/v1/events/{uuid4()}/syncs", json=BODY | change)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert answer.json()["detail"].startswith(field)


async def test_a_speaker_is_forgotten_by_a_request(line: Line, http: HttpSide) -> None:
    event = uuid4()
    await http.client.post(f"/v1/events/{event}/syncs", json=BODY, headers={"Prefer": "wait=30"})
    schedule = (await http.client.get(f"/v1/events/{event}/schedule")).json()
    sessions = [s for day in schedule["days"] for room in day["rooms"] for s in room["sessions"]]
    person = next(speaker for session in sessions for speaker in session["speakers"])
    answer = await http.client.post(
        f"/v1/organizations/{ORGANIZATION}/erasures", json={"speaker_id": person["speaker_id"]}
    )
    assert answer.status_code == 202
    place = answer.headers["location"]
    async with asyncio.timeout(PATIENCE):
        while (found := await http.client.get(place)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found.json()["status"] == "done"
    later = await http.client.get(f"/v1/events/{event}/schedule")
    assert person["full_name"] not in later.text


async def test_the_request_id_of_another_erasure_is_a_conflict(http: HttpSide) -> None:
    path = f"/v1/organizations/{ORGANIZATION}/erasures"
    speaker, body = str(uuid4()), {"request_id": str(uuid4()), "sessionize_id": str(uuid4())}
    place = (await http.client.post(path, json=body)).headers["location"]
    async with asyncio.timeout(PATIENCE):
        while (found := await http.client.get(place)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    again = await http.client.post(
        path, json=body | {"sessionize_id": body["sessionize_id"].upper()}
    )
    other = await http.client.post(path, json=body | {"sessionize_id": speaker})
    elsewhere = await http.client.post(f"/v1/organizations/{uuid4()}/erasures", json=body)

    assert (again.status_code, again.headers["location"]) == (202, place)
    assert (await http.client.get(place)).json() == found.json()
    for answer, whose in ((other, "another speaker"), (elsewhere, "another organization")):
        assert (answer.status_code, answer.json()["field"]) == (409, "request_id")
        assert answer.json()["type"] == "urn:spreaview:problem:conflict"
        assert f"of {whose}. Use a new request_id" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"speaker_id": str(ORGANIZATION), "sessionize_id": "x"},
        {"speaker_id": "x"},
        {"speaker": str(ORGANIZATION)},
    ],
    ids=["none", "both", "no UUID", "another name"],
)
async def test_an_erasure_names_exactly_one_speaker(
    http: HttpSide, body: dict[str, object]
) -> None:
    answer = await http.client.post(f"/v1/organizations/{ORGANIZATION}/erasures", json=body)
    assert answer.status_code == 400
    assert answer.json()["field"] in ("speaker_id", "speaker")


async def test_a_stop_of_the_server_answers_the_requests_that_wait(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()
    waiting = Announcements.waiting

    def noticed(self: Announcements, event_id: UUID) -> AbstractContextManager[Waiter]:
        waits.set()
        return waiting(self, event_id)

    monkeypatch.setattr(Announcements, "waiting", noticed)
    async with AsyncExitStack() as own:
        side = await own.enter_async_context(the_http_side(line))
        async with httpx.AsyncClient(base_url=side.url, timeout=PATIENCE) as client:
            asked = asyncio.create_task(
                client.get(
                    f"/v1/events/{uuid4()}/schedule",
                    params={"min_version": 1},
                    headers={"Prefer": "wait=60"},
                )
            )
            await waits.wait()
            await own.aclose()
            answer = await asked
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert answer.json()["type"] == "urn:spreaview:problem:not-yet"

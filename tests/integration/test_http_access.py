"""Every route with every kind of token, and what the answers reveal."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from cli import api
from cli.commands.token import write_token
from cli.connections import database
from contracts.messages import SyncRequested
from projections.http.application import HEADERS
from projections.http.tokens import Scope, Tokens
from tests.support.documents import WINDOW
from tests.support.http_side import HttpSide, the_http_side
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.roles import logins

pytestmark = pytest.mark.asyncio

API_ID = "demo2026"
SYNC_BODY = {
    "organization_id": str(ORGANIZATION),
    "sessionize_api_id": API_ID,
    "window": {"starts_on": "2026-05-28", "ends_on": "2026-05-29", "time_zone": "Europe/Vienna"},
}


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A token file, and its tokens by name."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    kinds: dict[str, tuple[list[Scope], list[UUID] | None]] = {
        "read": ([Scope.READ], None),
        "sync": ([Scope.SYNC], None),
        "audit": ([Scope.AUDIT], None),
        "ours": ([Scope.READ, Scope.SYNC, Scope.AUDIT], [ORGANIZATION]),
        "theirs": ([Scope.READ, Scope.SYNC, Scope.AUDIT], [UUID(int=9)]),
    }
    made = {name: write_token(path, name, scopes, orgs) for name, (scopes, orgs) in kinds.items()}
    return path, made


@pytest_asyncio.fixture(scope="module")
async def http(line: Line, secrets: tuple[Path, dict[str, str]]) -> AsyncIterator[HttpSide]:
    async with the_http_side(line, Tokens(secrets[0])) as side:
        yield side


@pytest_asyncio.fixture(scope="module")
async def synced(line: Line) -> SyncRequested:
    request = a_request(API_ID, WINDOW)
    await line.sync(request)
    return request


READ = {"read": 200, "sync": 403, "audit": 403, "ours": 200, "theirs": 404}
AUDIT = {"read": 403, "sync": 403, "audit": 200, "ours": 200, "theirs": 404}
ROUTES = {
    "/v1/events/{event}/schedule": READ,
    "/v1/events/{event}/rooms": READ,
    "/v1/events/{event}/rooms/{room}/now": READ,
    "/v1/events/{event}/syncs": READ,
    "/v1/events/{event}/syncs/{sync}": READ,
    "/v1/events/{event}/skipped": READ,
    "/v1/sessions/{code}": READ,
    "/v1/organizations/{organization}/speakers/{speaker}": READ,
    "/v1/events/{event}/explain?session=Opening": AUDIT,
    "/v1/events/{event}/history": AUDIT,
    "/v1/events": READ | {"theirs": 200},
    "/v1/import-events": READ | {"theirs": 200},
    "/events/{event}": READ,
    "/events/{event}/syncs/{sync}": READ,
    "/events/{event}/history": READ,
    "/events/{event}/why": AUDIT,
    "/": READ | {"theirs": 200},
    "/feed": READ | {"theirs": 200},
}


@pytest_asyncio.fixture(scope="module")
async def places(
    http: HttpSide, synced: SyncRequested, secrets: tuple[Path, dict[str, str]]
) -> dict[str, str]:
    """What the routes name."""
    headers = {"Authorization": f"Bearer {secrets[1]['ours']}"}
    answer = await http.client.get(
        f"/v1/events/{synced.spreaview_event_id}/schedule", headers=headers
    )
    rooms = answer.json()["days"][0]["rooms"]
    sessions = [session for room in rooms for session in room["sessions"]]
    speaker = next(each for session in sessions for each in session["speakers"])
    return {
        "event": str(synced.spreaview_event_id),
        "sync": str(synced.request_id),
        "organization": str(ORGANIZATION),
        "room": rooms[0]["room_id"],
        "code": sessions[0]["session_code"],
        "speaker": speaker["speaker_id"],
    }


@pytest.mark.parametrize("kind", ["read", "sync", "audit", "ours", "theirs"])
@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_with_every_token(
    http: HttpSide,
    places: dict[str, str],
    secrets: tuple[Path, dict[str, str]],
    route: str,
    kind: str,
) -> None:
    answer = await http.client.get(
        route.format_map(places), headers={"Authorization": f"Bearer {secrets[1][kind]}"}
    )
    assert answer.status_code == ROUTES[route][kind]
    if kind == "theirs":
        assert places["code"] not in answer.text
        assert "Ada Example" not in answer.text


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}])
async def test_no_route_without_a_valid_token(
    http: HttpSide, places: dict[str, str], route: str, header: dict[str, str]
) -> None:
    answer = await http.client.get(route.format_map(places), headers=header)
    if route.startswith("/v1"):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(
    ("kind", "expected"), [("read", 403), ("audit", 403), ("sync", 202), ("theirs", 404)]
)
async def test_requesting_a_sync_needs_the_scope_and_the_organization(
    http: HttpSide,
    places: dict[str, str],
    secrets: tuple[Path, dict[str, str]],
    kind: str,
    expected: int,
) -> None:
    answer = await http.client.post(
        f"/v1/events/{uuid4()}/syncs",
        json=SYNC_BODY,
        headers={"Authorization": f"Bearer {secrets[1][kind]}"},
    )
    assert answer.status_code == expected


@pytest.mark.parametrize(("kind", "expected"), [("read", 200), ("ours", 404)])
async def test_a_request_of_another_organization_is_seen_by_no_limited_token(
    http: HttpSide,
    line: Line,
    synced: SyncRequested,
    secrets: tuple[Path, dict[str, str]],
    kind: str,
    expected: int,
) -> None:
    event, token = synced.spreaview_event_id, {"Authorization": f"Bearer {secrets[1][kind]}"}
    foreign = a_request(API_ID, WINDOW, event_id=event, organization_id=UUID(int=9))
    assert (await line.sync(foreign))["status"] == "failed"
    runs = f"/events/{event}/syncs"
    listed = await http.client.get(f"/v1{runs}", headers=token)
    assert (str(foreign.request_id) in listed.text) is (expected == 200)
    for place in (f"/v1{runs}/{foreign.request_id}", f"{runs}/{foreign.request_id}"):
        assert (await http.client.get(place, headers=token)).status_code == expected


async def test_a_token_in_a_url_is_refused_and_not_logged(
    http: HttpSide, secrets: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    token = secrets[1]["read"]
    with caplog.at_level(logging.DEBUG):
        answer = await http.client.get("/v1/events", params={"access_token": token})
    assert answer.status_code == 400
    assert token not in answer.text
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert not any(token in record.getMessage() for record in ours)


async def test_a_browser_exchanges_its_token_for_a_cookie(
    http: HttpSide, secrets: tuple[Path, dict[str, str]]
) -> None:
    async with httpx.AsyncClient(base_url=http.url) as browser:
        wrong = await browser.post("/login", data={"token": "wrong"})
        assert wrong.status_code == 403
        signed_in = await browser.post("/login", data={"token": secrets[1]["ours"]})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
        cookie = signed_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert secrets[1]["ours"] not in cookie
        assert (await browser.get("/")).status_code == 200
        assert (await browser.post("/logout")).status_code == 303
        assert (await browser.get("/")).status_code == 303


async def test_a_browser_gets_an_error_as_a_page(
    http: HttpSide, secrets: tuple[Path, dict[str, str]]
) -> None:
    headers = {"Authorization": f"Bearer {secrets[1]['read']}", "Accept": "text/html, */*;q=0.8"}
    answer = await http.client.get(f"/events/{UUID(int=9)}", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "No SpreaView event with this id has been synced." in answer.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_form_of_another_site_is_refused(http: HttpSide, headers: dict[str, str]) -> None:
    answer = await http.client.post("/login", data={"token": "x"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:spreaview:problem:forbidden"


async def test_every_answer_has_the_security_headers(
    http: HttpSide, secrets: tuple[Path, dict[str, str]]
) -> None:
    headers = {"Authorization": f"Bearer {secrets[1]['read']}"}
    for path in ("/", "/v1/events", "/docs", "/nothing", "/static/page.css"):
        answer = await http.client.get(path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_the_refusal_of_a_restored_log_has_the_security_headers(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def restored(_: object) -> str:
        return "The log was restored"

    monkeypatch.setattr(api, "unconfirmed_restore", restored)
    async with the_http_side(line) as side:
        answer = await side.client.get("/v1/events")
    assert (answer.status_code, answer.json()["detail"]) == (503, "The log was restored")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


async def test_the_role_of_the_http_side_suffices_for_every_route_and_writes_nothing(
    line: Line, places: dict[str, str]
) -> None:
    urls = await logins(line.addresses.database_url)
    limited = replace(line, addresses=line.addresses._replace(database_url=urls["api"]))
    async with the_http_side(limited) as http:
        for route in ROUTES:
            answer = await http.client.get(route.format_map(places))
            assert answer.status_code == 200, route
        again = await http.client.post(
            f"/v1/events/{places['event']}/syncs",
            json=SYNC_BODY | {"request_id": places["sync"]},
            headers={"Prefer": "wait=30"},
        )
        assert again.status_code == 200
    async with database(urls["api"], pool_size=1) as own, own.connect() as connection:
        with pytest.raises(Exception, match="permission denied"):
            await connection.exec_driver_sql("DELETE FROM event_store.inbox")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b" " * 70_000, "application/json", 413),
        (b"{}", "text/plain", 415),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused(
    http: HttpSide,
    secrets: tuple[Path, dict[str, str]],
    body: bytes,
    content_type: str,
    status: int,
) -> None:
    answer = await http.client.post(
        f"/v1/events/{uuid4()}/syncs",
        content=body,
        headers={
            "Authorization": f"Bearer {secrets[1]['sync']}",
            "Content-Type": content_type,
        },
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"

"""The application around the endpoints: methods, media types, limits and hosts, without servers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.restored_gate import RestoredGate
from projections.http.application import HEADERS, Security, answering, application
from projections.http.endpoint import Call, Endpoint, Parameter
from projections.http.tokens import Scope

pytestmark = pytest.mark.asyncio

STARTED: list[str] = []
"""The streams that were started."""


async def _thing(call: Call) -> Response:
    return Response(b"{}", media_type="application/json")


async def _feed(call: Call) -> Response:
    async def events() -> AsyncIterator[bytes]:
        STARTED.append("feed")
        yield b"data: 1\n\n"

    return EventSourceResponse(events(), ping=0)


async def _page(_: object) -> Response:
    return Response("page", media_type="text/html")


def endpoints() -> Sequence[Endpoint]:
    def endpoint(method: str, path: str, *, is_stream: bool = False) -> Endpoint:
        return Endpoint(
            method="POST" if method == "POST" else "GET",
            path=path,
            name=f"{method}{path}",
            summary="",
            scope=Scope.READ,
            handle=_feed if is_stream else _thing,
            answers={200: None},
            parameters=(
                Parameter("id", "path", ""),
                Parameter("limit", "query", ""),
                Parameter("after", "query", ""),
                Parameter("Prefer", "header", ""),
            )
            if path == "/things/{id}"
            else (),
            is_stream=is_stream,
        )

    return (
        endpoint("GET", "/things/{id}"),
        endpoint("GET", "/things"),
        endpoint("POST", "/things"),
        endpoint("GET", "/feed", is_stream=True),
    )


@asynccontextmanager
async def client(*origins: str) -> AsyncIterator[httpx.AsyncClient]:
    routes = [
        Route("/form", answering(_page), methods=["GET"]),
        Route("/form", answering(_page), methods=["POST"]),
    ]
    app = application(endpoints(), routes, Security(None, origins))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as made:
        yield made


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/things", "GET, HEAD, OPTIONS, POST"),
        ("/things/1", "GET, HEAD, OPTIONS"),
        ("/form", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_a_wrong_method_is_answered_with_every_method_of_the_path(
    path: str, methods: str
) -> None:
    async with client() as http:
        refused = await http.delete(path)
        options = await http.options(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:spreaview:problem:method-not-allowed"
    assert methods in refused.json()["detail"]
    assert (options.status_code, options.headers["allow"], options.content) == (204, methods, b"")


async def test_head_is_answered_as_get_without_the_body() -> None:
    async with client() as http:
        got, head = await http.get("/things"), await http.head("/things")
    assert head.status_code == 200
    assert head.headers == got.headers


async def test_head_of_a_stream_has_its_headers_and_starts_no_stream() -> None:
    STARTED.clear()
    async with client() as http:
        head = await http.head("/feed", headers={"Accept": "text/event-stream"})
    assert head.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in head.headers
    assert STARTED == []


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/things", "*/*", 200),
        ("/things", "application/*", 200),
        ("/things", "text/html, application/xhtml+xml, */*;q=0.8", 200),
        ("/things", "Application/JSON; charset=utf-8", 200),
        ("/things", "", 200),
        ("/things", "text/event-stream", 406),
        ("/things", "text/html", 406),
        ("/things", "application/json;q=0, */*", 406),
        ("/things", "nonsense;;,", 406),
        ("/feed", "text/event-stream", 200),
        ("/feed", "text/html", 406),
    ],
)
async def test_only_a_media_type_that_the_route_has_is_acceptable(
    path: str, accept: str, status: int
) -> None:
    async with client() as http:
        answer = await http.get(path, headers={"Accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert answer.json()["type"] == "urn:spreaview:problem:not-acceptable"
        assert answer.json()["field"] == "Accept"
        assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("rebound.example", 403),
        ("localhost.rebound.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
async def test_an_open_server_compares_the_host_name_and_survives_a_malformed_one(
    host: str, status: int
) -> None:
    async with client() as http:
        answer = await http.get("/things", headers={"Host": host})
    assert answer.status_code == status


async def test_a_query_over_8_kib_is_too_large() -> None:
    async with client() as http:
        answer = await http.get("/things?x=" + "x" * 8 * 1024)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:spreaview:problem:too-large")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("limit=5&after=1&limit=6", 200, ()),
        ("", 200, ()),
        ("&", 200, ()),
        ("limt=5", 400, ("limt ", "Did you mean limit?", "It takes: limit, after")),
        ("limit=5&Limit=5", 400, ("Limit ", "It takes: limit, after")),
        ("prefer=wait", 400, ("prefer ", "It takes: limit, after")),
        ("id=2", 400, ("id ", "It takes: limit, after")),
        ("%FF=1", 400, ("\N{REPLACEMENT CHARACTER} ",)),
        ("=1", 400, ("A parameter without a name ",)),
    ],
)
async def test_a_query_parameter_that_the_endpoint_does_not_declare_is_refused(
    query: str, status: int, words: Sequence[str]
) -> None:
    async with client() as http:
        answer = await http.get(f"/things/1?{query}")
    assert answer.status_code == status
    for each in words:
        assert each in answer.json()["detail"]
    if status == 400:
        assert answer.json()["type"] == "urn:spreaview:problem:bad-request"


async def test_an_endpoint_without_query_parameters_takes_none() -> None:
    async with client() as http:
        answer = await http.post("/things?dry_run=1")
    assert (answer.status_code, answer.json()["field"]) == (400, "dry_run")
    assert "It takes none" in answer.json()["detail"]


async def test_a_page_ignores_a_query_parameter_that_it_does_not_know() -> None:
    async with client() as http:
        answer = await http.get("/form?utm_source=mail")
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/things/", "/things/1/2", "//things", "/%00"])
async def test_an_unknown_path_is_a_problem(path: str) -> None:
    async with client() as http:
        answer = await http.get(f"http://localhost{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:spreaview:problem:not-found")


async def test_a_script_of_an_allowed_origin_may_call_and_read_the_headers() -> None:
    preflight = {
        "Origin": "https://board.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, last-event-id, prefer, if-none-match",
    }
    async with client("https://board.example") as http:
        allowed = await http.options("/feed", headers=preflight)
        answer = await http.get("/things", headers={"Origin": "https://board.example"})
        other = await http.options("/feed", headers=preflight | {"Origin": "https://x.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://board.example"
    assert "Last-Event-ID" in allowed.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == "https://board.example"
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


async def test_the_refusal_of_a_restored_log_has_the_headers_of_every_answer() -> None:
    async def reason() -> str | None:
        return "The log was restored"

    origin = "https://board.example"
    gate = Middleware(RestoredGate, reason=reason)
    app = application(endpoints(), (), Security(None, (origin,)), gates=[gate])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/things", headers={"Origin": origin})
        preflight = await http.options(
            "/things", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )
    assert (answer.status_code, answer.json()["detail"]) == (503, "The log was restored")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["access-control-allow-origin"] == origin
    assert preflight.status_code == 200


async def test_no_other_origin_is_allowed_unless_it_is_set() -> None:
    async with client() as http:
        answer = await http.get("/things", headers={"Origin": "https://board.example"})
        preflight = await http.options(
            "/things",
            headers={"Origin": "https://board.example", "Access-Control-Request-Method": "GET"},
        )
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(), "the connection was refused"),
        (TimeoutError(), "no answer in time"),
        (PoolTimeoutError("pool"), "no connection of this process became free in time"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "sorry, too many"),
        (asyncpg.DiskFullError("could not extend file: disk full"), "could not extend file"),
    ],
)
async def test_an_outage_of_the_database_is_answered_with_its_cause(
    error: Exception, cause: str
) -> None:
    async def fail(_: Request) -> Response:
        raise error

    app = Starlette(routes=[Route("/", answering(fail))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
        answer = await asking.get("/")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"The database cannot answer: {cause}")

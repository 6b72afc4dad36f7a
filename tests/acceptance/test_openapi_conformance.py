"""schemathesis against `/openapi.json`, and what no document covers, on a real `api` process."""

import asyncio
import http.client
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.api_process import Api, api_process
from tests.support.documents import WINDOW
from tests.support.line import ORGANIZATION, PATIENCE, Line, a_request, the_line
from tests.support.processes import environment

pytestmark = pytest.mark.asyncio

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method,allow_header_conformance,ignored_auth"
)


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def api(line: Line, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with api_process(line, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def known(line: Line, api: Api) -> dict[str, str]:
    """Ids that the routes know, by the names of their parameters."""
    request = a_request("demo2026", WINDOW)
    await line.sync(request)
    async with httpx.AsyncClient(base_url=api.url, headers=api.headers) as client:
        schedule = await client.get(f"/v1/events/{request.spreaview_event_id}/schedule")
        room = schedule.json()["days"][0]["rooms"][0]
        erasure = await client.post(
            f"/v1/organizations/{ORGANIZATION}/erasures", json={"sessionize_id": str(uuid4())}
        )
        async with asyncio.timeout(PATIENCE):
            while (await client.get(erasure.headers["location"])).status_code == 404:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    return {
        "event_id": str(request.spreaview_event_id),
        "organization_id": str(ORGANIZATION),
        "sync_id": str(request.request_id),
        "room_id": room["room_id"],
        "session_code": room["sessions"][0]["session_code"],
        "speaker_id": next(
            speaker["speaker_id"]
            for room in schedule.json()["days"][0]["rooms"]
            for session in room["sessions"]
            for speaker in session["speakers"]
        ),
        "request_id": erasure.json()["request_id"],
    }


async def document_of(api: Api, known: dict[str, str]) -> dict[str, Any]:
    """The document that the process serves, with the known ids as examples."""
    async with httpx.AsyncClient() as client:
        document: dict[str, Any] = (await client.get(f"{api.url}/openapi.json")).json()
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["example"] = known[parameter["name"]]
    return document


async def schemathesis(api: Api, document: dict[str, Any], folder: Path, *more: str) -> str:
    """Run it with the same requests each time; returns its report. Raises on a finding."""
    file = folder / "openapi.json"
    file.write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", file, "--url", api.url, "--header"),
        *(f"Authorization: Bearer {api.token}", "--header", "Prefer: wait=0"),
        *("--generation-deterministic", "--no-shrink", "--no-color", "--checks", CHECKS),
        *("--request-timeout", "30", "--continue-on-failure", *more),
        env=environment(),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report = (await process.communicate())[0].decode()
    if process.returncode:
        raise AssertionError(report)
    return report


async def test_every_answer_is_one_that_the_document_declares(
    api: Api, known: dict[str, str], tmp_path: Path
) -> None:
    document = await document_of(api, known)
    report = await schemathesis(
        api, document, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "6"
    )
    operations = sum(map(len, document["paths"].values()))
    assert f"Tested: {operations}\n" in report
    assert api.process.returncode is None
    assert "unexpectedly" not in api.logged.read_text()


async def test_an_answer_that_breaks_its_schema_is_found(
    api: Api, known: dict[str, str], tmp_path: Path
) -> None:
    document = await document_of(api, known)
    properties = document["components"]["schemas"]["RoomView"]["properties"]
    properties["sort"] = {"type": "string"}
    only = ("--phases", "examples", "--include-operation-id", "listRooms")
    with pytest.raises(AssertionError, match="Response violates schema"):
        await schemathesis(api, document, tmp_path, *only)


@pytest.mark.parametrize("size", [9_000, 60_000, 300_000])
async def test_a_long_query_and_long_headers_leave_the_server_well(api: Api, size: int) -> None:
    place = urlsplit(api.url).netloc

    def statuses() -> tuple[int, int, int]:
        long_query = answer_of(place, f"/v1/events?x={'x' * size}", {})
        long_header = answer_of(place, "/v1/events", {"X-Long": "x" * size})
        return long_query, long_header, answer_of(place, "/v1/events", api.headers)

    query, header, afterwards = await asyncio.to_thread(statuses)
    assert query in (400, 413)
    assert header in (400, 401)
    assert afterwards == 200


def answer_of(place: str, target: str, headers: dict[str, str]) -> int:
    """The status of a request that httpx would refuse to send."""
    connection = http.client.HTTPConnection(place, timeout=PATIENCE)
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/live", "/ready"])
async def test_health_is_answered_on_the_port_of_the_api_without_a_token(
    api: Api, path: str
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}{path}")
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    assert "PostgreSQL" in answer.json()["components"]

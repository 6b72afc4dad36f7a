"""The double of Sessionize, over real HTTP."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from cli.sandbox.conference import conference, encode_conference
from tests.support.sessionize.answers import Answer, Delivery, Documents, Ending, api_id_of
from tests.support.sessionize.double import Double, sessionize_double

BOM = b"\xef\xbb\xbf"
BODY = BOM + b'{\r\n  "sessions": [],\r\n  "title": "\xe2\x98\x95"\r\n}'
PROMPT_SECONDS = 2.0


@pytest_asyncio.fixture
async def double() -> AsyncIterator[Double]:
    async with sessionize_double(Documents({"mydoc123": BODY})) as running:
        yield running


@pytest_asyncio.fixture
async def client(double: Double) -> AsyncIterator[httpx.AsyncClient]:
    # Independent of proxies in the environment.
    async with httpx.AsyncClient(base_url=double.base_url, trust_env=False) as http:
        yield http


async def open_raw(double: Double) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = urlsplit(double.base_url).port
    assert port is not None
    return await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.asyncio
async def test_a_document_is_served_as_json_byte_for_byte(client: httpx.AsyncClient) -> None:
    response = await client.get("/mydoc123/view/All")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["content-length"] == str(len(BODY))
    assert response.http_version == "HTTP/1.1"
    assert response.content == BODY


@pytest.mark.asyncio
async def test_the_demo_conference_is_served_without_asking(client: httpx.AsyncClient) -> None:
    response = await client.get("/demo2026/view/All")

    assert response.content == encode_conference(conference("demo2026"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/mydoc123/view/Sessions", 400),
        ("/mydoc123/view/all", 400),
        ("/htmlpage1/view/All", 200),
        ("/notfound1/view/All", 404),
        ("/nobody123/view/All", 404),
        ("/nobody123/view/Sessions", 404),
        ("/mydoc123/view/All/more", 404),
        ("/mydoc123", 404),
        ("/", 404),
    ],
)
async def test_whatever_is_no_schedule_is_a_page(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    response = await client.get(path)

    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!DOCTYPE html>")


@pytest.mark.asyncio
async def test_only_get_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.post("/mydoc123/view/All", content=b"x" * 300_000)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET"
    assert (await client.get("/mydoc123/view/All")).status_code == 200


@pytest.mark.asyncio
async def test_a_query_changes_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mydoc123/view/All?t=1")).content == BODY


@pytest.mark.asyncio
async def test_unannounced_and_empty_conferences_can_be_tried(client: httpx.AsyncClient) -> None:
    unannounced = (await client.get("/unannounc/view/All")).json()
    empty = (await client.get("/emptyconf/view/All")).json()

    assert unannounced["sessions"]
    assert unannounced["rooms"] == []
    assert empty["sessions"] == []


@pytest.mark.asyncio
async def test_what_is_served_can_be_replaced_while_it_runs(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.serve("mydoc123", b"later", status=503, headers={"Retry-After": "7"})
    double.serve("newdoc12", b"<script>", content_type="text/javascript")

    replaced = await client.get("/mydoc123/view/All")
    assert (replaced.status_code, replaced.content) == (503, b"later")
    assert replaced.headers["retry-after"] == "7"
    added = await client.get("/newdoc12/view/All")
    assert added.headers["content-type"] == "text/javascript"

    double.serve("mydoc123", b"", status=304)
    assert (await client.get("/mydoc123/view/All")).status_code == 304


@pytest.mark.asyncio
async def test_every_request_is_remembered(double: Double, client: httpx.AsyncClient) -> None:
    await client.get("/mydoc123/view/All?t=1", headers={"If-None-Match": '"v1"'})
    await client.get("/nobody123/view/All", headers=[("X-Twice", "a"), ("X-Twice", "b")])

    first, second = double.requests
    assert (first.method, first.path) == ("GET", "/api/v2/mydoc123/view/All?t=1")
    assert first.headers["if-none-match"] == '"v1"'
    assert second.headers["x-twice"] == "a, b"


@pytest.mark.asyncio
async def test_one_connection_serves_many_requests(client: httpx.AsyncClient) -> None:
    ports = set()
    for path in ("/mydoc123/view/All", "/nobody123/view/All", "/mydoc123/view/Other") * 3:
        async with client.stream("GET", path) as response:
            ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            await response.aread()

    assert len(ports) == 1


@pytest.mark.asyncio
async def test_many_clients_are_served_at_once(double: Double) -> None:
    body = encode_conference(conference("large123", sessions=2000))
    double.serve("large123", body)

    async def ask(number: int) -> bool:
        async with httpx.AsyncClient(base_url=double.base_url, trust_env=False) as http:
            own = f"client{number:03}"
            double.serve(own, own.encode())
            mine = [(await http.get(f"/{own}/view/All")).content for _ in range(5)]
            return mine == [own.encode()] * 5 and (
                (await http.get("/large123/view/All")).content == body
            )

    assert all(await asyncio.gather(*(ask(number) for number in range(20))))
    assert len(double.requests) == 20 * 6


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_holds_up_nobody(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.serve("large123", b" " * 20_000_000)
    _, writer = await open_raw(double)
    writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
    while not double.requests:
        await client.get("/mydoc123/view/All")

    response = await client.get("/mydoc123/view/All", timeout=PROMPT_SECONDS)

    assert response.content == BODY
    writer.transport.abort()


@pytest.mark.asyncio
async def test_requests_sent_ahead_are_answered_in_order(double: Double) -> None:
    double.serve("second12", b"second")
    reader, writer = await open_raw(double)
    request = "GET /api/v2/{}/view/All HTTP/1.1\r\nHost: x\r\n{}\r\n"
    ahead = request.format("mydoc123", "") + request.format("second12", "Connection: close\r\n")

    writer.write(ahead.encode())
    answers = await reader.read()

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(BODY) < answers.index(b"second")
    assert answers.endswith(b"second")
    writer.close()


@pytest.mark.asyncio
async def test_a_request_that_comes_in_pieces_is_answered(double: Double) -> None:
    reader, writer = await open_raw(double)
    for byte in b"GET /api/v2/mydoc123/view/All HTTP/1.0\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()

    answer = await reader.read()

    assert answer.endswith(BODY)
    writer.close()


@pytest.mark.asyncio
async def test_who_waits_for_leave_to_send_a_body_gets_it(double: Double) -> None:
    reader, writer = await open_raw(double)
    writer.write(
        b"POST /api/v2/mydoc123/view/All HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")

    writer.write(b"{}")

    assert (await reader.read()).startswith(b"HTTP/1.1 405")
    writer.close()


@pytest.mark.asyncio
async def test_what_is_not_http_is_refused_and_the_server_goes_on(
    double: Double, client: httpx.AsyncClient
) -> None:
    reader, writer = await open_raw(double)
    writer.write(b"\x16\x03\x01 this is no request\r\n\r\n")

    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert (await client.get("/mydoc123/view/All")).status_code == 200
    assert len(double.requests) == 1
    writer.close()


@pytest.mark.asyncio
async def test_a_client_that_goes_away_disturbs_nobody(
    double: Double, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    double.serve("large123", b" " * 20_000_000)
    _, writer = await open_raw(double)
    writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
    while not double.requests:
        await client.get("/nobody123/view/All")
    writer.transport.abort()

    assert (await client.get("/mydoc123/view/All")).content == BODY
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_sent_is_logged_and_ends_only_its_connection(
    double: Double, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    double.serve("mydoc123", b"", headers={"not a header": "x"})

    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/mydoc123/view/All")

    assert "an exchange broke off" in caplog.text
    assert (await client.get("/emptyconf/view/All")).status_code == 200


REQUEST = b"GET /api/v2/mydoc123/view/All HTTP/1.1\r\nHost: x\r\n\r\n"
LETTERS = b"abcdefghij"


async def asked_raw(
    double: Double, delivery: Delivery
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    double.serve("mydoc123", LETTERS, delivery=delivery)
    reader, writer = await open_raw(double)
    writer.write(REQUEST)
    return reader, writer


@pytest.mark.asyncio
async def test_answers_can_come_in_turn_and_the_last_one_stays(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.documents.put("mydoc123", Answer(b"", 503), Answer(b"", 429), Answer(BODY))

    statuses = [(await client.get("/mydoc123/view/All")).status_code for _ in range(4)]

    assert statuses == [503, 429, 200, 200]


@pytest.mark.asyncio
async def test_connections_are_counted_whether_anything_is_asked_or_not(
    double: Double, client: httpx.AsyncClient
) -> None:
    _, writer = await open_raw(double)
    for _ in range(3):
        await client.get("/mydoc123/view/All")

    assert double.connections == 2
    writer.close()


@pytest.mark.asyncio
async def test_a_body_can_be_longer_than_what_is_held(
    double: Double, client: httpx.AsyncClient
) -> None:
    double.serve("mydoc123", LETTERS, delivery=Delivery(times=1000, piece_bytes=7))

    for _ in range(2):
        response = await client.get("/mydoc123/view/All")
        assert response.headers["content-length"] == "10000"
        assert response.content == LETTERS * 1000
    assert double.connections == 1


@pytest.mark.asyncio
async def test_an_answer_can_come_late_and_in_a_trickle(
    double: Double, client: httpx.AsyncClient
) -> None:
    slow = Delivery(head_after_seconds=0.2, piece_bytes=2, pause_seconds=0.02)
    double.serve("mydoc123", LETTERS, delivery=slow)
    began = asyncio.get_running_loop().time()

    async with client.stream("GET", "/mydoc123/view/All") as response:
        head_at = asyncio.get_running_loop().time()
        assert await response.aread() == LETTERS

    assert head_at - began >= 0.2
    assert asyncio.get_running_loop().time() - began >= 0.2 + 5 * 0.02


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("delivery", "told", "body"),
    [
        (Delivery(body_bytes=4), 10, b"abcd"),
        (Delivery(body_bytes=0, ending=Ending.CLOSE), 10, b""),
        (Delivery(body_bytes=13, times=2), 20, b"abcdefghijabc"),
        (Delivery(content_length=4), 4, LETTERS),
        (Delivery(content_length=40), 40, LETTERS),
        (Delivery(ending=Ending.CLOSE), 10, LETTERS),
    ],
)
async def test_what_is_told_and_what_is_sent_can_differ_and_then_the_connection_ends(
    double: Double, delivery: Delivery, told: int, body: bytes
) -> None:
    reader, writer = await asked_raw(double, delivery)

    head, _, sent = (await reader.read()).partition(b"\r\n\r\n")

    assert f"content-length: {told}" in head.decode().lower()
    assert sent == body
    writer.close()


@pytest.mark.asyncio
async def test_a_connection_can_be_torn_down(double: Double) -> None:
    delivery = Delivery(has_head=False, ending=Ending.RESET)
    reader, writer = await asked_raw(double, delivery)

    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("delivery", "sent"),
    [
        (Delivery(has_head=False, ending=Ending.HANG), b""),
        (Delivery(body_bytes=0, ending=Ending.HANG), b"\r\n\r\n"),
        (Delivery(body_bytes=4, ending=Ending.HANG), b"\r\n\r\nabcd"),
    ],
)
async def test_an_answer_can_stop_and_say_no_more(
    double: Double, client: httpx.AsyncClient, delivery: Delivery, sent: bytes
) -> None:
    reader, writer = await asked_raw(double, delivery)
    if sent:
        assert (await reader.readuntil(sent)).endswith(sent)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1)

    assert len(double.requests) == 1
    assert (await client.get("/emptyconf/view/All")).status_code == 200
    writer.transport.abort()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(has_head=False, ending=Ending.HANG),
        Delivery(head_after_seconds=600),
        Delivery(pause_seconds=600),
    ],
)
async def test_the_end_waits_for_no_delivery(delivery: Delivery) -> None:
    async with asyncio.timeout(PROMPT_SECONDS), sessionize_double(Documents()) as double:
        _, writer = await asked_raw(double, delivery)
        async with httpx.AsyncClient(base_url=double.base_url, trust_env=False) as client:
            while not any("mydoc123" in request.path for request in double.requests):
                await client.get("/nobody123/view/All")
    writer.transport.abort()
    assert_nothing_listens(double)


@pytest.mark.asyncio
async def test_the_end_closes_idle_and_busy_connections_promptly() -> None:
    documents = Documents({"large123": b" " * 20_000_000})
    async with asyncio.timeout(PROMPT_SECONDS):
        async with sessionize_double(documents) as double:
            fresh, fresh_writer = await open_raw(double)
            busy, busy_writer = await open_raw(double)
            busy_writer.write(b"GET /api/v2/large123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
            idle, idle_writer = await open_raw(double)
            idle_writer.write(b"GET /api/v2/nobody123/view/All HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await idle.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            await busy.readuntil(b"\r\n\r\n")

        assert (await idle.read()).endswith(b"</html>\n")
        assert await fresh.read() == b""
        assert len(await busy.read()) < 20_000_000
    for writer in (fresh_writer, busy_writer, idle_writer):
        writer.transport.abort()
    assert_nothing_listens(double)


def assert_nothing_listens(double: Double) -> None:
    with socket.socket() as probe:
        probe.settimeout(PROMPT_SECONDS)
        assert probe.connect_ex(("127.0.0.1", urlsplit(double.base_url).port)) != 0


@pytest.mark.asyncio
async def test_the_end_is_the_same_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        async with sessionize_double(Documents()) as double:
            raise ZeroDivisionError

    assert_nothing_listens(double)


@pytest.mark.asyncio
async def test_a_port_can_be_given_and_is_free_again_afterwards(double: Double) -> None:
    port = urlsplit(double.base_url).port
    with pytest.raises(OSError, match=str(port)):
        async with sessionize_double(Documents(), port=port):
            pass

    async with sessionize_double(Documents()) as earlier:
        port = urlsplit(earlier.base_url).port
    async with sessionize_double(Documents(), port=port) as later:
        assert later.base_url == earlier.base_url


@pytest.mark.asyncio
async def test_a_folder_is_served_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "all-abcd1234.json").write_bytes(BODY)
    (tmp_path / "all-my-konferenz-2026.json").write_bytes(b"{}")
    (tmp_path / "demo2026.json").write_bytes(b"mine, not the synthetic one")
    (tmp_path / "README.md").write_bytes(b"no document")
    (tmp_path / "deeper.json").mkdir()
    documents = Documents({"given123": b"given"}, folder=tmp_path)
    derived = api_id_of("all-my-konferenz-2026")

    async with (
        sessionize_double(documents) as double,
        httpx.AsyncClient(base_url=double.base_url, trust_env=False) as client,
    ):

        async def body(api_id: str) -> bytes:
            return (await client.get(f"/{api_id}/view/All")).content

        assert await body("abcd1234") == BODY
        assert await body(derived) == b"{}"
        assert await body("demo2026") == b"mine, not the synthetic one"
        assert await body("given123") == b"given"
        (tmp_path / "all-my-konferenz-2026.json").write_bytes(b"{ }")
        assert await body(derived) == b"{ }"
        (tmp_path / "all-my-konferenz-2026.json").unlink()
        assert (await client.get(f"/{derived}/view/All")).status_code == 404
    assert set(documents.api_ids) == {
        *("abcd1234", derived, "given123"),
        *("demo2026", "emptyconf", "htmlpage1", "notfound1", "unannounc"),
    }


@pytest.mark.parametrize(
    ("stem", "api_id"),
    [
        ("abcd1234", "abcd1234"),
        ("all-abcd1234", "abcd1234"),
        ("ABCDefgh1234", "ABCDefgh1234"),
        ("all-gab-linz-2022", "gablinx3kqur"),
        ("01", "01sog3rspyfs"),
        ("会議", "n566rzekz26s"),
    ],
)
def test_a_file_has_the_same_api_id_everywhere(stem: str, api_id: str) -> None:
    assert api_id_of(stem) == api_id


def test_the_two_ways_to_write_an_accent_in_a_file_name_are_one_id() -> None:
    assert api_id_of("caf\u00e9") == api_id_of("cafe\u0301") != api_id_of("cafe")


def test_files_that_would_share_an_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "abcd1234.json").write_bytes(BODY)
    (tmp_path / "all-abcd1234.json").write_bytes(BODY)

    with pytest.raises(ValueError, match=r"abcd1234\.json and all-abcd1234\.json"):
        Documents(folder=tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Documents(folder=tmp_path / "missing")


@pytest.mark.parametrize("api_id", ["", "short", "toolong123456", "with-dash", "https://x.y/"])
def test_only_api_ids_can_be_served(api_id: str) -> None:
    with pytest.raises(ValueError, match="no API ID"):
        Documents({api_id: b""})


CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus" / "schedules"


@pytest.mark.asyncio
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is not there")
async def test_real_documents_are_served_byte_for_byte() -> None:
    documents = Documents(folder=CORPUS)
    async with (
        sessionize_double(documents) as double,
        httpx.AsyncClient(base_url=double.base_url, trust_env=False) as client,
    ):
        for file in sorted(CORPUS.glob("*.json")):
            response = await client.get(f"/{api_id_of(file.stem)}/view/All")
            assert response.content == file.read_bytes()
            json.loads(response.content.decode("utf-8-sig"))

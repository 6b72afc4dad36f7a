"""The feed: pages, long-poll and streams from one cursor, over real HTTP."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from asyncpg import QueryCanceledError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sse_starlette import EventSourceResponse

from audit.erasure.erase import erase
from audit.http.changes import ChangesOfRuns
from cli import api
from contracts.events import SpeakerImported
from contracts.messages import SyncRequested
from eventstore.log import EventLog
from eventstore.model import Recorded
from projections.http import queries
from projections.http.encoded import EncodedCache
from projections.http.feed.stream import stream as stream_
from projections.http.feed.tail import LogTail, read_log_id
from projections.http.models import Schedule
from tests.support.documents import WINDOW
from tests.support.http_side import HttpSide, the_http_side
from tests.support.line import PATIENCE, Line, a_request, the_line

pytestmark = pytest.mark.asyncio

API_ID = "demo2026"
FEED = "/v1/import-events"
_SENDING = EventSourceResponse._stream_response


@pytest_asyncio.fixture(scope="module")
async def line(module_kafka: str, module_database_url: str) -> AsyncIterator[Line]:
    async with the_line(module_kafka, module_database_url) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def http(line: Line) -> AsyncIterator[HttpSide]:
    async with the_http_side(line) as side:
        yield side


@dataclass(frozen=True)
class Received:
    """One event of a stream."""

    type: str
    id: str
    data: dict[str, object]


class Stream:
    """A client of the live feed."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> Received:
        """The next event; heartbeats are skipped."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    return Received(fields["event"], fields["id"], json.loads(fields["data"]))
                else:
                    fields = {}
        raise EOFError

    async def until(self, type_: str) -> list[Received]:
        """The events up to the first one of a type."""
        received = [await self.next()]
        while received[-1].type != type_:
            received.append(await self.next())
        return received


@asynccontextmanager
async def streaming(
    http: HttpSide, last_event_id: str = "", **params: str
) -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    async with http.client.stream("GET", FEED, params=params, headers=headers) as response:
        assert response.status_code == 200
        yield Stream(response)


async def sync(line: Line, **ids: object) -> SyncRequested:
    request = a_request(API_ID, WINDOW, **ids)  # type: ignore[arg-type]
    await line.sync(request)
    return request


async def positions(line: Line) -> list[int]:
    """The positions of the log."""
    async with line.engine.connect() as connection:
        found = await connection.execute(
            text("SELECT position FROM event_store.events ORDER BY position")
        )
        return list(found.scalars())


async def all_pages(http: HttpSide, **params: str) -> list[dict[str, object]]:
    events: list[dict[str, object]] = []
    after = "start"
    while True:
        page = (await http.client.get(FEED, params={"after": after, **params})).json()
        events += page["events"]
        after = page["next"]
        if page["caught_up"]:
            return events


async def test_pages_hold_the_whole_log_in_order(line: Line, http: HttpSide) -> None:
    request = await sync(line)
    events = await all_pages(http)
    assert [event["position"] for event in events] == await positions(line)
    own = [e for e in events if e["partitionkey"] == str(request.spreaview_event_id)]
    assert [event["streamversion"] for event in own] == list(range(1, len(own) + 1))
    assert len(own) == len(await line.types(request.spreaview_event_id))
    assert events[-1]["type"] == "com.spreaview.import.sync-completed.v1"


@pytest.mark.parametrize("tail_bytes", [1, 64 * 1024 * 1024], ids=["log", "tail"])
async def test_a_page_with_a_limit_ends_with_the_outcome_that_reaches_it(
    line: Line, tail_bytes: int
) -> None:
    async with the_http_side(line, feed_bytes=tail_bytes) as http:
        first = await sync(line)
        for _ in range(3):
            await sync(line, event_id=first.spreaview_event_id)
        own = {"event_id": str(first.spreaview_event_id)}
        everything = await all_pages(http, **own)
        after, sizes, paged = "start", [], []
        while True:
            page = (await http.client.get(FEED, params={"after": after, "limit": 4, **own})).json()
            paged += page["events"]
            sizes.append(len(page["events"]))
            after = page["next"]
            if page["caught_up"]:
                break
        one = {"type": "sync-completed", "limit": "2"}
        page = (await http.client.get(FEED, params=one)).json()
    assert paged == everything
    # The first sync imports everything; a repeated one starts and completes, which is 2 events.
    assert [size for size in sizes if size] == [len(everything) - 6, 4, 2]
    assert [event["type"] for event in page["events"]] == [
        "com.spreaview.import.sync-completed.v1"
    ] * 2


async def test_a_stream_begins_with_a_header_and_says_when_it_is_caught_up(
    line: Line, http: HttpSide
) -> None:
    await sync(line)
    async with streaming(http, after="start") as stream:
        received = await stream.until("caught-up")
    assert received[0].type == "header"
    assert received[0].id.endswith(":0:00000000")
    assert len(received) == len(await all_pages(http)) + 2
    assert received[-1].id == received[0].data["head"]


async def test_a_stream_without_a_cursor_begins_at_the_head(line: Line, http: HttpSide) -> None:
    await sync(line)
    async with streaming(http) as stream:
        assert [each.type for each in await stream.until("caught-up")] == ["header", "caught-up"]
        await sync(line)
        received = await stream.until("sync-completed")
    assert received[0].type == "sync-started"


async def test_a_stream_resumes_behind_its_last_event(line: Line, http: HttpSide) -> None:
    await sync(line)
    async with streaming(http, after="start") as stream:
        first = [await stream.next() for _ in range(10)]
    async with streaming(http, last_event_id=first[-1].id) as stream:
        rest = await stream.until("caught-up")
    joined = [each.data["id"] for each in (*first[1:], *rest[1:-1])]
    assert joined == [event["id"] for event in await all_pages(http)]


async def test_a_cursor_of_another_log_gets_a_reset(line: Line, http: HttpSide) -> None:
    await sync(line)
    foreign = f"{uuid4()}:1:00000000"
    async with streaming(http, last_event_id=foreign) as stream:
        received = await stream.until("caught-up")
    assert [each.type for each in received[:3]] == ["reset", "header", "sync-started"]
    page = await http.client.get(FEED, params={"after": foreign})
    assert (page.status_code, page.json()["type"]) == (410, "urn:spreaview:problem:reset")


async def test_a_cursor_of_an_event_that_a_restored_log_lacks_gets_a_reset(
    line: Line, http: HttpSide
) -> None:
    await sync(line)
    page = (await http.client.get(FEED)).json()
    log, position, _ = page["next"].split(":")
    async with streaming(http, last_event_id=f"{log}:{position}:ffffffff") as stream:
        assert (await stream.next()).type == "reset"


@pytest.mark.parametrize("position", [2**62, 2**63 - 1, 2**63, 10**19 - 1])
async def test_a_cursor_beyond_the_head_gets_a_reset(
    line: Line, http: HttpSide, position: int
) -> None:
    cursor = f"{await read_log_id(line.engine)}:{position}:00000000"
    async with streaming(http, last_event_id=cursor) as stream:
        assert (await stream.next()).type == "reset"
    page = await http.client.get(FEED, params={"after": cursor})
    assert (page.status_code, page.json()["type"]) == (410, "urn:spreaview:problem:reset")


async def test_a_filter_by_event_and_type_selects(line: Line, http: HttpSide) -> None:
    mine, _ = await sync(line), await sync(line)
    params = {"event_id": str(mine.spreaview_event_id), "type": "sync-completed,sync-started"}
    events = await all_pages(http, **params)
    assert [event["type"] for event in events] == [
        "com.spreaview.import.sync-started.v1",
        "com.spreaview.import.sync-completed.v1",
    ]
    async with streaming(http, after="start", **params) as stream:
        received = await stream.until("caught-up")
        assert [each.type for each in received[1:-1]] == ["sync-started", "sync-completed"]
        await sync(line)  # of another event
        later = await sync(line, event_id=mine.spreaview_event_id)
        received = await stream.until("sync-completed")
    assert {each.data["partitionkey"] for each in received} == {str(later.spreaview_event_id)}


async def test_a_quiet_filtered_stream_gets_heartbeats_that_move_its_cursor(
    line: Line,
) -> None:
    async with the_http_side(line, feed_heartbeat_seconds=0.2) as http:
        params = {"event_id": str(uuid4())}
        headers = {"Accept": "text/event-stream"}
        async with http.client.stream("GET", FEED, params=params, headers=headers) as response:
            lines = response.aiter_lines()
            await sync(line)
            head = (await all_pages(http))[-1]
            async with asyncio.timeout(PATIENCE):
                async for text_ in lines:
                    if text_.startswith("id: ") and f":{head['position']}:" in text_:
                        break


async def test_a_long_poll_returns_with_the_next_events(line: Line, http: HttpSide) -> None:
    await sync(line)
    head = (await http.client.get(FEED, params={"after": "head"})).json()["next"]
    polling = asyncio.create_task(
        http.client.get(FEED, params={"after": head}, headers={"Prefer": "wait=30"})
    )
    later = await sync(line)
    page = (await polling).json()
    assert page["events"][0]["data"]["sync_id"] == str(later.request_id)


async def test_a_long_poll_without_events_returns_an_empty_page(http: HttpSide) -> None:
    page = await http.client.get(FEED, params={"after": "head"}, headers={"Prefer": "wait=1"})
    assert page.json()["events"] == []
    assert page.json()["caught_up"] is True


async def test_a_small_tail_reads_the_log_and_loses_nothing(line: Line) -> None:
    async with the_http_side(line, feed_bytes=1) as http, streaming(http, after="head") as stream:
        before = await positions(line)
        requests = [await sync(line) for _ in range(3)]
        received = []
        for _ in requests:
            received += await stream.until("sync-completed")
        events = [each for each in received if each.type not in ("header", "caught-up")]
        assert [each.data["id"] for each in events] == [
            event["id"] for event in (await all_pages(http))[len(before) :]
        ]


async def test_an_unchanged_page_is_answered_with_304(line: Line, http: HttpSide) -> None:
    request = await sync(line)
    params = {"event_id": str(request.spreaview_event_id)}
    page = await http.client.get(FEED, params=params)
    again = await http.client.get(
        FEED, params=params, headers={"If-None-Match": page.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


async def test_an_erasure_drops_each_frame_and_page_and_changes_the_tag_of_each_page(
    line: Line,
) -> None:
    organization, event_id = uuid4(), uuid4()
    event = {"event_id": str(event_id)}
    pages: dict[str, dict[str, str]] = {FEED: event, f"/v1/events/{event_id}/schedule": {}}
    async with (
        the_http_side(line, feed_heartbeat_seconds=3600) as http,
        streaming(http, **event) as everything,
        streaming(http, type="speaker-imported", **event) as speakers,
    ):
        done = await sync(line, organization_id=organization, event_id=event_id)
        pages[f"/v1/events/{event_id}/syncs/{done.request_id}"] = {}
        before = await everything.until("sync-completed")
        await speakers.until("speaker-imported")
        tags = {
            path: (await http.client.get(path, params=params)).headers["etag"]
            for path, params in pages.items()
        }
        person = next(each.data["data"] for each in before if each.type == "speaker-imported")
        assert isinstance(person, dict)
        name = str(person["full_name"])
        assert in_memory(name) == {"tail", "answers", "reports", "a client"}
        await erase(line.engine, organization, UUID(str(person["speaker_id"])))
        await everything.until("speaker-erased")
        async with asyncio.timeout(PATIENCE):
            while in_memory(name):  # noqa: ASYNC110 (the other client gets no event)
                await asyncio.sleep(0.05)
        for path, params in pages.items():
            known = {"If-None-Match": tags[path]}
            page = await http.client.get(path, params=params, headers=known)
            assert page.status_code == 200, path
            assert page.headers["etag"] != tags[path]
        async with streaming(http, after="start", **event) as stream:
            after = await stream.until("caught-up")
    assert name in json.dumps([each.data for each in before])
    assert name not in json.dumps([each.data for each in after])


@pytest.mark.parametrize("page", ["schedule", "report"])
async def test_an_answer_that_is_made_during_an_erasure_is_not_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    reading, erased, forgotten = asyncio.Event(), asyncio.Event(), asyncio.Event()
    read_schedule, read_stream = queries.read_schedule, EventLog.read_stream

    class Reports(ChangesOfRuns):
        """Those of the side that this test starts."""

        def forget(self) -> None:
            super().forget()
            forgotten.set()

    async def slow_schedule(*args: Any, **given: Any) -> Schedule:
        schedule = await read_schedule(*args, **given)
        reading.set()
        await erased.wait()
        return schedule

    async def slow_stream(self: EventLog, stream_id: UUID, **given: Any) -> AsyncIterator[Recorded]:
        async for recorded in read_stream(self, stream_id, **given):  # a page at once
            if recorded.version == 1:
                reading.set()
                await erased.wait()
            yield recorded

    done = await sync(line, organization_id=uuid4())
    events = [each.event async for each in line.log.read_stream(done.spreaview_event_id)]
    person = next(event for event in events if isinstance(event, SpeakerImported))
    path = "schedule" if page == "schedule" else f"syncs/{done.request_id}"
    monkeypatch.setattr(api, "ChangesOfRuns", Reports)
    async with the_http_side(line) as http, asyncio.timeout(PATIENCE):
        with monkeypatch.context() as slow:
            if page == "schedule":
                slow.setattr(queries, "read_schedule", slow_schedule)
            else:
                slow.setattr(EventLog, "read_stream", slow_stream)
            asked = asyncio.create_task(
                http.client.get(f"/v1/events/{done.spreaview_event_id}/{path}")
            )
            await reading.wait()
        forgotten.clear()
        await erase(line.engine, done.organization_id, person.speaker_id)
        await forgotten.wait()
        erased.set()
        assert str(person.full_name) in (await asked).text
        while in_memory(str(person.full_name)):  # noqa: ASYNC110 (other sides notice later)
            await asyncio.sleep(0.05)


def in_memory(name: str) -> set[str]:
    """The places that hold a text: `tail`, `answers`, `reports`, or `a client` of a stream."""
    gc.collect()  # other sides of this module have ended
    found = set()
    for each in gc.get_objects():
        if isinstance(each, LogTail) and name in repr((each._frames, each._batches)):
            found.add("tail")
        if isinstance(each, EncodedCache) and name in repr(each._entries):
            found.add("answers")
        if isinstance(each, ChangesOfRuns) and name in repr(
            [(reached, vars(reached.builder)) for reached in each._reached.values()]
        ):
            found.add("reports")
        if isinstance(each, AsyncGeneratorType) and each.ag_code is stream_.__code__:
            frame, others = each.ag_frame, {"tail", "reader", "subscription"}
        elif isinstance(each, CoroutineType) and each.cr_code is _SENDING.__code__:
            frame, others = each.cr_frame, {"self", "send"}
        else:
            continue
        values = {} if frame is None else dict(frame.f_locals)
        if name in repr([value for key, value in values.items() if key not in others]):
            found.add("a client")
    return found


async def test_a_stop_of_the_server_completes_the_response_of_an_open_stream(line: Line) -> None:
    async with AsyncExitStack() as own:
        side = await own.enter_async_context(the_http_side(line))
        async with httpx.AsyncClient(base_url=side.url, timeout=PATIENCE) as client:
            other = HttpSide(client, side.url)
            async with streaming(other, after="start") as stream:
                await stream.until("caught-up")
                await own.aclose()
                with pytest.raises(EOFError):  # and not a broken connection
                    await stream.next()


async def test_the_feed_starts_once_the_database_answers(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages: list[Exception] = [QueryCanceledError("statement timeout"), ConnectionRefusedError()]

    async def fails_twice(engine: AsyncEngine) -> UUID:
        if outages:
            raise outages.pop()
        return await read_log_id(engine)

    monkeypatch.setattr("cli.api.read_log_id", fails_twice)
    async with the_http_side(line) as http:
        assert (await http.client.get(FEED)).status_code == 200
    assert not outages


async def test_a_restored_database_closes_the_feed(own_kafka: str, database_url: str) -> None:
    async with the_line(own_kafka, database_url) as line, the_http_side(line) as http:
        await sync(line)
        async with line.engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE event_store.checkpoints SET position = position + 1000 "
                    "WHERE name = 'relay'"
                )
            )
        async with asyncio.timeout(PATIENCE):
            while (answer := await http.client.get(FEED)).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    assert answer.status_code == 503
    assert "relay rewind --restored" in answer.json()["detail"]

"""One `SyncRequested` becomes rows that SpreaView can query."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Producer
from msgspec.structs import replace
from sqlalchemy import text

from audit.erasure.erase import erase_requester
from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts import identity
from contracts.messages import SyncRequested, Window, encode_request
from contracts.topics import DEAD_LETTERS, DEFAULT_PARTITIONS, SYNC_REQUESTS
from messaging.requests import publish_request
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.odd_names import OddName, sending_odd_names
from tests.support.sessionize.answers import Answer, Delivery, Ending

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()


@pytest_asyncio.fixture(scope="module")
async def line(broker: KnownBroker, module_database_url: str) -> AsyncIterator[Line]:
    transactions = broker.can(Can.TRANSACTIONS)
    async with the_line(
        broker.address, module_database_url, transactions=transactions, fetch_seconds=8.0
    ) as line:
        yield line


def served(line: Line, api_id: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode_conference(conference(api_id, **changes)))
    serve(line, api_id, document)
    return document


def serve(line: Line, api_id: str, document: object) -> None:
    line.double.serve(api_id, json.dumps(document).encode())


async def test_a_conference_is_imported(line: Line) -> None:
    document = served(line, "import01")
    request = a_request("import01", WINDOW)
    run = await line.sync(request)
    assert run["status"] == "completed"
    assert (run["requested_by"], run["api_id_masked"]) == ("Ada Example", "im******")

    zone = ZoneInfo("Europe/Vienna")
    days = (WINDOW.starts_on, WINDOW.ends_on)

    def inside(session: dict[str, Any]) -> bool:
        if not session["startsAt"]:
            return False
        return days[0] <= datetime.fromisoformat(session["startsAt"]).date() <= days[1]

    expected = {s["id"]: s for s in document["sessions"] if inside(s)}
    rooms = {r["room_id"]: r for r in await line.rows("rooms", request.spreaview_event_id)}
    sessions = await line.rows("sessions", request.spreaview_event_id)
    assert {s["sessionize_id"] for s in sessions} == set(expected)
    for session in sessions:
        source = expected[str(session["sessionize_id"])]
        starts_at = datetime.fromisoformat(source["startsAt"]).replace(tzinfo=zone)
        assert session["starts_at"] == starts_at
        assert rooms[session["room_id"]]["sessionize_id"] == str(source["roomId"])
        assert session["status"] == "scheduled"
    skipped = await line.rows("skipped_sessions", request.spreaview_event_id)
    assert {s["sessionize_id"] for s in skipped} == {
        s["id"] for s in document["sessions"] if not inside(s)
    }
    assert {s["reason"] for s in skipped} == {"before_window", "after_window", "unscheduled"}


async def test_a_repeated_sync_of_the_same_schedule_is_silent(line: Line) -> None:
    served(line, "repeat01")
    first = a_request("repeat01", WINDOW)
    await line.sync(first)
    event = first.spreaview_event_id
    views = ("rooms", "event_speakers", "sessions", "session_speakers", "skipped_sessions")
    before = {view: await line.rows(view, event) for view in views}
    events_before = await line.types(event)

    await line.sync(a_request("repeat01", WINDOW, event_id=event))

    assert {view: await line.rows(view, event) for view in views} == before
    assert await line.types(event) == [*events_before, "SyncStarted", "SyncCompleted"]


async def test_the_same_request_again_appends_nothing(line: Line) -> None:
    served(line, "again001")
    request = a_request("again001", WINDOW)
    await line.sync(request)
    events_before = await line.types(request.spreaview_event_id)
    await publish_request(line.producer, request)
    # A later request of the same event is worked on after it: when that is over, so is the repeat.
    await line.sync(a_request("again001", WINDOW, event_id=request.spreaview_event_id))
    assert await line.types(request.spreaview_event_id) == [
        *events_before,
        "SyncStarted",
        "SyncCompleted",
    ]


async def test_a_session_that_leaves_and_returns_keeps_its_code(line: Line) -> None:
    document = served(line, "return01")
    request = a_request("return01", WINDOW)
    event = request.spreaview_event_id
    await line.sync(request)
    sessions = document["sessions"]
    gone = next(s for s in sessions if (s["startsAt"] or "").startswith("2026-05-28"))
    serve(line, "return01", {**document, "sessions": [s for s in sessions if s is not gone]})
    await line.sync(a_request("return01", WINDOW, event_id=event))
    rows = {row["sessionize_id"]: row for row in await line.rows("sessions", event)}
    assert rows[gone["id"]]["status"] == "withdrawn"
    code = rows[gone["id"]]["session_code"]

    serve(line, "return01", document)
    run = await line.sync(a_request("return01", WINDOW, event_id=event))
    assert run["counts"]["sessions"]["restored"] == 1  # type: ignore[index]
    rows = {row["sessionize_id"]: row for row in await line.rows("sessions", event)}
    assert (rows[gone["id"]]["status"], rows[gone["id"]]["session_code"]) == ("scheduled", code)


async def test_consecutive_windows_import_every_session_once(line: Line) -> None:
    """Twenty SpreaView events share one API ID, each with a day of its own."""
    document = served(line, "tiling01", days=18, sessions=180)
    first_day = date(2026, 5, 27)  # workshops on the day before, and on the day after
    requests = [
        a_request("tiling01", Window(starts_on=day, ends_on=day, time_zone="Europe/Vienna"))
        for day in (first_day + timedelta(days=n) for n in range(20))
    ]
    await asyncio.gather(*(publish_request(line.producer, r) for r in requests))
    runs = [await line.ended(r.request_id) for r in requests]
    assert {run["status"] for run in runs} == {"completed"}
    imported = [
        str(session["sessionize_id"])
        for request in requests
        for session in await line.rows("sessions", request.spreaview_event_id)
    ]
    assert sorted(imported) == sorted(s["id"] for s in document["sessions"] if s["startsAt"])


@pytest.mark.parametrize(
    ("api_id", "code"),
    [
        ("unannounc", "schedule_not_announced"),
        ("emptyconf", "schedule_empty"),
        ("htmlpage1", "endpoint_not_json"),
        ("notfound1", "api_id_not_found"),
        ("sessionize.com", "invalid_api_id"),
    ],
)
async def test_a_failed_run_reports_the_reason_and_the_remedy(
    line: Line, api_id: str, code: str
) -> None:
    request = a_request(api_id, WINDOW)
    run = await line.sync(request)
    assert (run["status"], run["failure_code"]) == ("failed", code)
    assert run["failure_message"]
    assert run["failure_remedy"]
    assert await line.rows("sessions", request.spreaview_event_id) == []


async def test_an_invalid_request_fails_and_names_the_field(line: Line) -> None:
    request = a_request("demo2026", replace(WINDOW, time_zone="Europe/Wien"))
    run = await line.sync(request)
    assert run["failure_code"] == "invalid_request"
    assert "window.time_zone" in str(run["failure_message"])

    ids = {"request_id": str(uuid4()), "organization_id": str(uuid4())}
    ids["spreaview_event_id"] = str(uuid4())
    await line.producer.send_and_wait(SYNC_REQUESTS, json.dumps(ids).encode())
    run = await line.ended(UUID(ids["request_id"]))
    assert run["failure_code"] == "invalid_request"
    assert "sessionize_api_id" in str(run["failure_message"])


async def test_an_event_stays_with_its_organization(line: Line) -> None:
    served(line, "belongs1")
    mine = a_request("belongs1", WINDOW)
    await line.sync(mine)
    theirs = a_request(
        "belongs1", WINDOW, event_id=mine.spreaview_event_id, organization_id=uuid4()
    )
    run = await line.sync(theirs)
    assert run["failure_code"] == "invalid_request"
    assert "organization_id" in str(run["failure_message"])


async def test_the_latest_request_wins(line: Line) -> None:
    """One that was first received before the last completed one was is superseded."""
    served(line, "latest01")
    later = a_request("latest01", WINDOW)
    await line.sync(later)
    earlier = a_request("latest01", WINDOW, event_id=later.spreaview_event_id)
    long_ago = str(1_700_000_000_000).encode()
    await line.producer.send_and_wait(
        SYNC_REQUESTS, encode_request(earlier), headers=[("spreaview-ordered-at", long_ago)]
    )
    run = await line.ended(earlier.request_id)
    assert (run["status"], run["failure_code"]) == ("superseded", "superseded")
    assert (await line.types(later.spreaview_event_id))[-1] == "SyncFailed"


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"not JSON", []),
        (b"\xff\xfe", [("traceparent", b"\xff\xff")]),
        (b'{"request_id": "0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b"}', []),
        (None, []),
    ],
)
async def test_a_message_without_readable_ids_is_dead_lettered_and_the_others_continue(
    line: Line, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    served(line, "goeson01")
    request = a_request("goeson01", WINDOW)
    sent = await line.producer.send_and_wait(
        SYNC_REQUESTS, value, key=b"poison", headers=headers, partition=3
    )
    await line.producer.send_and_wait(SYNC_REQUESTS, encode_request(request), partition=3)
    assert (await line.ended(request.request_id))["status"] == "completed"

    letters = [r for r in await all_of(line, DEAD_LETTERS) if _offset(r) == sent.offset]
    (letter,) = letters
    told = dict(letter.headers)
    assert told["spreaview-topic"] == SYNC_REQUESTS.encode()
    assert told["spreaview-reason"]
    assert (letter.value or b"") == (value or b"")
    for name, raw in headers:
        assert told[name] == raw


async def test_requests_with_odd_header_names_end_like_others(line: Line) -> None:
    served(line, "oddname1")
    request = a_request("oddname1", WINDOW)
    headers = [(OddName("caf\xe9"), b"1")]
    async with sending_odd_names(line.addresses.kafka.bootstrap_servers) as sender:
        unreadable = await sender.send_and_wait(
            SYNC_REQUESTS, b"not JSON", key=b"odd", headers=headers, partition=4
        )
        await sender.send_and_wait(
            SYNC_REQUESTS, encode_request(request), headers=headers, partition=4
        )
    assert (await line.ended(request.request_id))["status"] == "completed"
    (letter,) = [r for r in await all_of(line, DEAD_LETTERS) if r.key == b"odd"]
    assert (_offset(letter), letter.value) == (unreadable.offset, b"not JSON")
    assert dict(letter.headers)["caf\\xe9"] == b"1"


@pytest.mark.parametrize("trace", [b"\x00", b"\xff\x00", b"not a trace"])
async def test_a_malformed_trace_stops_nothing(line: Line, trace: bytes) -> None:
    request = a_request("demo2026", WINDOW)
    headers = [("traceparent", trace)]
    await line.producer.send_and_wait(SYNC_REQUESTS, encode_request(request), headers=headers)
    assert (await line.ended(request.request_id))["status"] == "completed"


@pytest.mark.parametrize("timestamp_ms", [10**17, 0])
async def test_a_time_stamp_beyond_the_calendar_stops_nothing(
    line: Line, timestamp_ms: int
) -> None:
    request = a_request("demo2026", WINDOW)
    await line.producer.send_and_wait(
        SYNC_REQUESTS, encode_request(request), timestamp_ms=timestamp_ms
    )
    assert (await line.ended(request.request_id))["status"] == "completed"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_requests_are_read(line: Line, codec: str) -> None:
    sender = Producer(
        {"bootstrap.servers": line.addresses.kafka.bootstrap_servers, "compression.type": codec}
    )
    request = a_request("demo2026", WINDOW)
    for _ in range(10):  # what does not get smaller is not compressed
        sender.produce(SYNC_REQUESTS, key="one partition", value=encode_request(request))
    await asyncio.to_thread(sender.flush, 20)
    assert (await line.ended(request.request_id))["status"] == "completed"


async def test_an_erased_requester_may_request_syncs(line: Line) -> None:
    organization = uuid4()
    by = "Grace Example"
    await erase_requester(line.engine, organization, by)
    run = await line.sync(
        a_request("demo2026", WINDOW, requested_by=by, organization_id=organization)
    )
    assert (run["status"], run["requested_by"]) == ("completed", None)


async def test_a_request_of_an_aborted_transaction_is_ignored(
    line: Line, broker: KnownBroker
) -> None:
    broker.needs(Can.TRANSACTIONS)
    sender = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id=str(uuid4()))
    await sender.start()
    aborted, committed = a_request("demo2026", WINDOW), a_request("demo2026", WINDOW)
    await sender.begin_transaction()
    await (await sender.send(SYNC_REQUESTS, encode_request(aborted), partition=0))
    await sender.abort_transaction()
    async with sender.transaction():
        await sender.send(SYNC_REQUESTS, encode_request(committed), partition=0)
    await sender.stop()
    assert (await line.ended(committed.request_id))["status"] == "completed"
    assert await line.types(aborted.spreaview_event_id) == []


async def test_a_database_that_is_not_migrated_yet_is_waited_for(line: Line) -> None:
    served(line, "migrate1")
    request = a_request("migrate1", WINDOW)
    async with line.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_store.sources RENAME kept_at TO kept_on"))
    await publish_request(line.producer, request)
    await asyncio.sleep(2)
    assert await line.types(request.spreaview_event_id) == ["SyncStarted"]
    async with line.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_store.sources RENAME kept_on TO kept_at"))
    assert (await line.ended(request.request_id))["status"] == "completed"


async def is_set_aside(line: Line, request: SyncRequested) -> str:
    """Publish a request that becomes a dead letter; the reason."""
    body = encode_request(request)
    sent = await line.producer.send_and_wait(SYNC_REQUESTS, body)
    async with asyncio.timeout(20):
        while True:
            for letter in await all_of(line, DEAD_LETTERS):
                told = dict(letter.headers)
                if (told["spreaview-partition"], told["spreaview-offset"]) == (
                    str(sent.partition).encode(),
                    str(sent.offset).encode(),
                ):
                    assert letter.value == body
                    return str(told["spreaview-reason"].decode())


@pytest.mark.parametrize("api_id", ["demo2026", "not an id"])
async def test_a_request_id_of_another_events_ended_run_is_dead_lettered(
    line: Line, api_id: str
) -> None:
    first = a_request("demo2026", WINDOW)
    await line.sync(first)
    second = a_request(api_id, WINDOW, request_id=first.request_id)
    assert "another SpreaView event" in await is_set_aside(line, second)
    assert await line.types(second.spreaview_event_id) == []


@pytest.mark.parametrize("api_id", ["demo2026", "not an id"])
async def test_a_request_id_of_another_events_run_does_not_end_that_run(
    line: Line, api_id: str
) -> None:
    silence = Delivery(has_head=False, ending=Ending.HANG)
    schedule = Answer(encode_conference(conference("hanging02")))
    line.double.documents.put("hanging02", Answer(b"", delivery=silence), schedule)
    first = a_request("hanging02", WINDOW)
    await publish_request(line.producer, first)
    async with asyncio.timeout(20):
        while not await line.types(first.spreaview_event_id):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    second = a_request(api_id, WINDOW, request_id=first.request_id)
    assert "another SpreaView event" in await is_set_aside(line, second)
    assert await line.types(second.spreaview_event_id) == []
    assert (await line.ended(first.request_id))["status"] == "completed", "at the second try"


def _offset(record: Any) -> int:
    return int(dict(record.headers)["spreaview-offset"])


async def all_of(line: Line, topic: str) -> list[Any]:
    """Every record of a topic, up to its end."""
    partitions = [TopicPartition(topic, number) for number in range(DEFAULT_PARTITIONS)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=line.addresses.kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    consumer.assign(partitions)
    await consumer.start()
    try:
        records: list[Any] = []
        while more := await consumer.getmany(timeout_ms=1000):
            records += [record for batch in more.values() for record in batch]
        return records
    finally:
        await consumer.stop()


async def test_requests_of_other_events_do_not_wait_for_a_failing_one(line: Line) -> None:
    """One event's failure is its own: the others of the same batch complete."""
    served(line, "mixture1")
    requests: list[SyncRequested] = [
        a_request("notfound1" if n % 5 == 0 else "mixture1", WINDOW) for n in range(20)
    ]
    await asyncio.gather(*(publish_request(line.producer, r) for r in requests))
    statuses = [(await line.ended(r.request_id))["status"] for r in requests]
    assert statuses == ["failed" if n % 5 == 0 else "completed" for n in range(20)]


async def test_an_event_with_a_hanging_sessionize_delays_no_other(line: Line) -> None:
    """All are in its partition, and behind it."""
    silence = Delivery(has_head=False, ending=Ending.HANG)
    schedule = Answer(encode_conference(conference("hanging01")))
    line.double.documents.put("hanging01", Answer(b"", delivery=silence), schedule)
    hanging = a_request("hanging01", WINDOW)
    await line.producer.send_and_wait(SYNC_REQUESTS, encode_request(hanging), partition=5)
    others = [a_request("demo2026", WINDOW) for _ in range(10)]
    for request in others:
        await line.producer.send_and_wait(SYNC_REQUESTS, encode_request(request), partition=5)
    for request in others:
        assert (await line.ended(request.request_id))["status"] == "completed"
    assert await line.types(hanging.spreaview_event_id) == ["SyncStarted"]
    assert (await line.ended(hanging.request_id))["status"] == "completed", "at the second try"


async def test_speakers_belong_to_the_organization(line: Line) -> None:
    document = served(line, "speakers1")
    one, two = a_request("speakers1", WINDOW), a_request("speakers1", WINDOW)
    await line.sync(one)
    await line.sync(two)
    of_one = {r["speaker_id"] for r in await line.rows("event_speakers", one.spreaview_event_id)}
    of_two = {r["speaker_id"] for r in await line.rows("event_speakers", two.spreaview_event_id)}
    assert of_one == of_two
    assert of_one <= {identity.speaker_id(ORGANIZATION, s["id"]) for s in document["speakers"]}

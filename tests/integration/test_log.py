"""The log: atomic appends, once, chained, immutable, with personal data stored apart."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from contracts import samples
from contracts.codec import PERSONAL_FIELDS
from contracts.events import ImportEvent, RoomImported, SpeakerImported
from eventstore import sources
from eventstore.append import LOG_LOCK
from eventstore.errors import is_database_outage
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.model import (
    AlreadyRecordedError,
    Commit,
    NewEvent,
    PositionsBehindError,
    SourceDocument,
    StreamMovedError,
)
from eventstore.read import read_outcomes
from eventstore.wakeup import WakeUp
from tests.support.off_the_loop import with_free_loop
from tests.support.streams import append_run

pytestmark = pytest.mark.asyncio

STARTED, ENDED = samples.EVENTS[0], samples.EVENTS[10]
ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
SPEAKER = next(event for event in samples.EVENTS if isinstance(event, SpeakerImported))


def new(*events: ImportEvent) -> list[NewEvent]:
    return [NewEvent(uuid4(), event) for event in events]


def document(body: bytes) -> SourceDocument:
    return SourceDocument(hashlib.sha256(body).hexdigest(), body)


async def rows(engine: AsyncEngine, table: str) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        found = await connection.execute(text(f"SELECT * FROM event_store.{table}"))
        return [dict(row._mapping) for row in found]


async def test_every_event_comes_back_as_it_was_appended(log: EventLog) -> None:
    stream = uuid4()
    appended = await log.append(
        Commit(stream, 0, new(*samples.EVENTS), metadata={"traceparent": "00-1"})
    )
    found = [recorded async for recorded in log.read_stream(stream)]
    assert tuple(recorded.event for recorded in found) == samples.EVENTS
    assert [recorded.version for recorded in found] == list(range(1, len(samples.EVENTS) + 1))
    assert (found[-1].version, found[-1].position) == appended
    assert all(recorded.metadata == {"traceparent": "00-1"} for recorded in found)
    assert found == await log.read_all(0)


async def test_personal_fields_are_in_no_event_row(log: EventLog, engine: AsyncEngine) -> None:
    await log.append(Commit(uuid4(), 0, new(*samples.EVENTS)))
    by_message = {row["message_id"]: row for row in await rows(engine, "personal_data")}
    for row in await rows(engine, "events"):
        data = json.loads(row["data"]) if isinstance(row["data"], str) else row["data"]
        assert not data.keys() & set(PERSONAL_FIELDS.get(row["type"], ()))
        kept = by_message.pop(row["message_id"], None)
        assert (kept is not None) == (row["type"] in PERSONAL_FIELDS)
        if kept is not None:
            body = kept["body"] if isinstance(kept["body"], str) else json.dumps(kept["body"])
            canonical = json.dumps(
                json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            digest = hashlib.sha256(kept["salt"] + canonical.encode()).hexdigest()
            assert data["personal"] == {"digest": digest}
    assert by_message == {}


async def test_erased_personal_data_are_null(log: EventLog, engine: AsyncEngine) -> None:
    stream = uuid4()
    await log.append(Commit(stream, 0, new(SPEAKER)))
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.personal_data"))
    (found,) = [recorded async for recorded in log.read_stream(stream)]
    assert isinstance(found.event, SpeakerImported)
    assert found.event.sessionize_id == SPEAKER.sessionize_id
    assert all(getattr(found.event, field) is None for field in PERSONAL_FIELDS["SpeakerImported"])


@pytest.mark.parametrize("expected_version", [0, 1, 3])
async def test_an_unexpected_version_appends_nothing(
    log: EventLog, engine: AsyncEngine, expected_version: int
) -> None:
    stream, inbox = uuid4(), uuid4()
    await log.append(Commit(stream, 0, new(STARTED, ENDED)))
    before = {t: await rows(engine, t) for t in ("events", "inbox", "sources", "personal_data")}
    with pytest.raises(StreamMovedError):
        await log.append(
            Commit(stream, expected_version, new(SPEAKER), inbox=inbox, source=document(b"new"))
        )
    assert {t: await rows(engine, t) for t in before} == before
    await log.append(Commit(stream, 2, new(SPEAKER), inbox=inbox))


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_position_behind_the_head_is_refused(
    log: EventLog, engine: AsyncEngine, is_taken: bool
) -> None:
    """The log was copied without sequences: the next position is taken, or in a gap."""
    await log.append(Commit(uuid4(), 0, new(STARTED, ENDED)))
    if not is_taken:
        async with engine.begin() as connection:
            await connection.execute(
                text("ALTER TABLE event_store.events ALTER position RESTART 9")
            )
        await log.append(Commit(uuid4(), 0, new(ROOM)))
    head = await log.head()
    async with engine.begin() as connection:
        where = 1 if is_taken else 5
        await connection.execute(
            text(f"ALTER TABLE event_store.events ALTER position RESTART {where}")
        )
    stream, inbox = uuid4(), uuid4()
    with pytest.raises(PositionsBehindError, match="setval") as caught:
        await log.append(Commit(stream, 0, new(ROOM), inbox=inbox))
    assert is_database_outage(caught.value), "waited for, and no request ends by it"
    assert (await log.head(), await log.stream_version(stream)) == (head, 0)

    _, _, remedy = str(caught.value).partition("Remedy: ")
    async with engine.begin() as connection:
        await connection.execute(text(remedy))
    appended = await log.append(Commit(stream, 0, new(ROOM), inbox=inbox))
    assert appended.position > head


async def test_a_repeated_append_appends_nothing(log: EventLog) -> None:
    stream, inbox = uuid4(), uuid4()
    events = new(STARTED, ENDED)
    await log.append(Commit(stream, 0, events, inbox=inbox))
    with pytest.raises(AlreadyRecordedError):
        await log.append(Commit(stream, 2, new(ROOM), inbox=inbox))
    with pytest.raises(AlreadyRecordedError):
        await log.append(Commit(stream, 2, [*new(ROOM), events[1]]))
    with pytest.raises(AlreadyRecordedError):
        await log.append(Commit(uuid4(), 0, [events[0]]))
    assert await log.stream_version(stream) == 2
    assert await log.head() == (await log.read_all(0))[-1].position


async def test_the_chain_can_be_recomputed_from_the_stored_rows(
    log: EventLog, engine: AsyncEngine
) -> None:
    """Uses only SHA-256 and JSON, as described in `eventstore/chain.py`."""
    streams = [uuid4(), uuid4()]
    for number in range(3):
        for stream in streams:
            await log.append(Commit(stream, 2 * number, new(SPEAKER, ROOM), metadata={"n": "é"}))
    heads: dict[UUID, bytes] = {}
    for row in sorted(await rows(engine, "events"), key=lambda row: int(row["position"])):
        body = {
            name: row[name] if isinstance(row[name], int) else str(row[name])
            for name in ("stream_id", "version", "message_id", "type", "schema_version")
        }
        for name in ("data", "metadata"):
            body[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        since = row["recorded_at"] - datetime(1970, 1, 1, tzinfo=UTC)
        micros = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
        link = heads.get(row["stream_id"], bytes(32))
        link += hashlib.sha256(canonical.encode()).digest() + micros.to_bytes(8, "big")
        heads[row["stream_id"]] = hashlib.sha256(link).digest()
        assert row["hash"] == heads[row["stream_id"]]
    assert heads.keys() == set(streams)


async def test_a_source_is_kept_once_and_byte_for_byte(log: EventLog, engine: AsyncEngine) -> None:
    source = document(b"\xef\xbb\xbf{}" * 1000)
    for _ in range(2):
        await log.append(Commit(uuid4(), 0, new(ENDED), source=source))
    assert len(await rows(engine, "sources")) == 1
    assert await log.source(source.digest) == source.body
    assert await log.source("00" * 32) is None


async def test_a_long_source_does_not_hold_up_the_loop(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Commit(uuid4(), 0, new(ENDED), source=document(b"long"))
    await with_free_loop(log.append(commit), monkeypatch, sources, "_packed")


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event_store.events SET version = 7",
        "DELETE FROM event_store.events",
        "TRUNCATE event_store.events",
    ],
)
async def test_the_database_itself_refuses_to_change_an_event(
    log: EventLog, engine: AsyncEngine, statement: str, role: str
) -> None:
    await log.append(Commit(uuid4(), 0, new(STARTED)))
    before = await rows(engine, "events")
    async with engine.connect() as connection:
        await connection.execute(text(f"SET session_replication_role = {role}"))
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(text(statement))
        await connection.invalidate()
    assert await rows(engine, "events") == before


@pytest.mark.parametrize("page", [1, 3, 7, 100])
async def test_reading_in_pages_misses_and_repeats_nothing(log: EventLog, page: int) -> None:
    stream = uuid4()
    await log.append(Commit(stream, 0, new(*[ROOM] * 20)))
    versions = [r.version async for r in log.read_stream(stream, after=3, page=page)]
    assert versions == list(range(4, 21))
    seen: list[int] = []
    after = 0
    while events := await log.read_all(after, limit=page):
        seen += [recorded.version for recorded in events]
        after = events[-1].position
    assert seen == list(range(1, 21))


async def test_migrating_twice_and_concurrently_is_harmless(
    database_url: str, log: EventLog, engine: AsyncEngine
) -> None:
    identity = await log.identity()
    await log.append(Commit(uuid4(), 0, new(STARTED)))
    async with database(database_url, pool_size=2) as other:
        await asyncio.gather(migrate(engine), migrate(other), migrate(engine))
    assert await log.identity() == identity
    assert await log.head() > 0


async def test_a_notification_or_the_poll_interval_wakes_a_reader(
    log: EventLog, database_url: str
) -> None:
    patient = WakeUp(poll_seconds=600)
    connection = await asyncpg.connect(database_url)
    try:
        await patient.listen(connection)
        async with asyncio.timeout(30):
            waiting = asyncio.create_task(patient.wait())
            await log.append(Commit(uuid4(), 0, new(STARTED)))
            await waiting
            await WakeUp(poll_seconds=0.01).wait()
    finally:
        await connection.close()


async def test_a_writer_stuck_under_the_lock_is_disconnected(
    log: EventLog, database_url: str
) -> None:
    stuck = await asyncpg.connect(
        database_url, server_settings={"idle_in_transaction_session_timeout": "300"}
    )
    await stuck.execute(f"BEGIN; SELECT pg_advisory_xact_lock({LOG_LOCK})")
    async with asyncio.timeout(30):
        await log.append(Commit(uuid4(), 0, new(STARTED)))
    stuck.terminate()


async def test_a_page_of_long_events_ends_early(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This limits the memory of a reader; it still advances by at least one event."""
    monkeypatch.setattr("eventstore.read.PAGE_BYTES", 1000)
    long = "".join(str(uuid4()) for _ in range(100))  # does not compress to less than that
    events = [NewEvent(uuid4(), replace(ROOM, name=long)) for _ in range(5)]
    await log.append(Commit(uuid4(), 0, events))
    after, pages = 0, []
    while page := await log.read_all(after):
        pages.append(len(page))
        after = page[-1].position
    assert pages == [1] * 5


async def test_an_outcome_is_read_whole_although_its_events_exceed_a_page(
    log: EventLog, engine: AsyncEngine
) -> None:
    await append_run(log, uuid4(), 1)
    async with engine.connect() as connection:
        start = await read_outcomes(connection, 0, limit=1, max_bytes=1)
        rest = await read_outcomes(connection, start[-1].position, limit=1, max_bytes=1)
        none = await read_outcomes(connection, rest[-1].position, limit=1, max_bytes=1)
    found = [[event.type for event in page] for page in (start, rest, none)]
    assert found == [["SyncStarted"], ["RoomImported", "SyncCompleted"], []]


async def test_documents_are_kept_while_runs_use_them(log: EventLog, engine: AsyncEngine) -> None:
    """A document unused for the given time is deleted; its digest stays in the events."""
    old, used_again = (SourceDocument(digest_of(body), body) for body in (b"old", b"again"))
    for document in (old, used_again):
        await log.append(Commit(uuid4(), 0, [NewEvent(uuid4(), ROOM)], source=document))
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE event_store.sources SET kept_at = now() - interval '91 days'")
        )
    await log.append(Commit(uuid4(), 0, [NewEvent(uuid4(), ROOM)], source=used_again))
    assert await log.prune_sources(timedelta(days=90)) == 1
    assert await log.source(old.digest) is None
    assert await log.source(used_again.digest) == b"again"


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
